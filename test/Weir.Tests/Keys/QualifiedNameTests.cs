using Weir.Keys;

namespace Weir.Tests.Keys;

public class QualifiedNameTests
{
    [Theory]
    [InlineData("weights", "", "weights")]
    [InlineData("ads/weights", "ads", "weights")]
    [InlineData("ads/a/b", "ads", "a/b")]
    [InlineData("/weights", "", "weights")]
    [InlineData("", "", "")]
    public void A_name_is_taken_apart_at_its_first_slash(string text, string expectedNamespace, string name) =>
        Assert.Equal(new QualifiedName(expectedNamespace, name), QualifiedName.Parse(text));

    [Theory]
    [InlineData("", "weights")]
    [InlineData("ads", "weights")]
    public void A_name_comes_back_from_its_text(string @namespace, string name) =>
        Assert.Equal(new QualifiedName(@namespace, name), QualifiedName.Parse(new QualifiedName(@namespace, name).ToString()));

    [Theory]
    [InlineData("ads", true)]
    [InlineData("7.2-team_A", true)]
    [InlineData("-ads", false)]
    [InlineData(".ads", false)]
    [InlineData("a b", false)]
    [InlineData("a/b", false)]
    [InlineData("é", false)]
    public void A_namespace_is_named_by_what_people_can_type_in_a_command(string text, bool isOne)
    {
        Assert.Equal(isOne, QualifiedName.IsNamespace(text));
        Assert.Equal(isOne, QualifiedName.NamespaceFault(text) is null);
    }

    [Fact]
    public void A_namespace_has_at_most_64_characters()
    {
        Assert.True(QualifiedName.IsNamespace(new string('a', 64)));
        Assert.False(QualifiedName.IsNamespace(new string('a', 65)));
        Assert.Null(QualifiedName.NamespaceFault(""));
    }

    [Theory]
    [InlineData("w", null)]
    [InlineData("ads/w", null)]
    [InlineData("", "a table's name has 1 to 4 bytes")]
    [InlineData("ads/", "a table's name has 1 to 4 bytes")]
    [InlineData("12345", "a table's name has 1 to 4 bytes")]
    [InlineData("ads/ééé", "a table's name has 1 to 4 bytes")]
    [InlineData("ads/a/b", "has no '/'")]
    [InlineData("/w", "names no namespace")]
    [InlineData("a b/w", "a namespace's name has 1 to 64")]
    public void What_a_request_names_is_checked_part_by_part(string text, string? fault)
    {
        string? found = QualifiedName.Fault("table", text, 4);
        Assert.Equal(fault is null, found is null);
        Assert.Contains(fault ?? "", found ?? "", StringComparison.Ordinal);
    }
}

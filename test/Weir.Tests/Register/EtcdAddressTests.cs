using Weir.Host.Etcd;

namespace Weir.Tests.Register;

public class EtcdAddressTests
{
    [Theory]
    [InlineData("etcd://10.0.0.1:2379/weir", "/weir", 1)]
    [InlineData("etcd://a:1,b:2,[::1]:3/weir/training.v2_x-y/", "/weir/training.v2_x-y", 3)]
    public void An_address_names_members_and_a_prefix(string text, string prefix, int members)
    {
        Assert.True(EtcdAddress.TryParse(text, out EtcdAddress? address, out string? fault), fault);
        Assert.Equal((prefix, members), (address.Prefix, address.Members.Count));
        Assert.Equal(text.TrimEnd('/'), address.ToString());
    }

    [Theory]
    [InlineData(null, "write etcd://host:port/prefix")]
    [InlineData("http://a:1/weir", "write etcd://host:port/prefix")]
    [InlineData("etcd://a:1", "needs a prefix of its own")]
    [InlineData("etcd://a:1/", "needs a prefix of its own")]
    [InlineData("etcd://a:1/we ir", "needs a prefix of its own")]
    [InlineData("etcd://a:1//weir", "needs a prefix of its own")]
    [InlineData("etcd:///weir", "is no address")]
    [InlineData("etcd://a/weir", "write host:port")]
    [InlineData("etcd://a:1,/weir", "is no address")]
    [InlineData("etcd://a:0/weir", "write its client port")]
    [InlineData("etcd://a:1,b:2,a:1/weir", "names a:1 twice")]
    public void What_is_no_address_is_refused_with_what_to_write(string? text, string expected)
    {
        Assert.False(EtcdAddress.TryParse(text, out _, out string? fault));
        Assert.Contains(expected, fault, StringComparison.Ordinal);
    }

    [Fact]
    public void Options_out_of_range_are_all_named()
    {
        ArgumentException fault = Assert.Throws<ArgumentException>(() => new EtcdOptions { DeadlineMs = 5, AttemptMs = 0, RetryMs = 0, Waiting = 0 }.Validate());
        Assert.All((string[])["DeadlineMs", "AttemptMs", "RetryMs", "Waiting"], name => Assert.Contains(name, fault.Message, StringComparison.Ordinal));
        EtcdOptions.Default.Validate();
    }
}

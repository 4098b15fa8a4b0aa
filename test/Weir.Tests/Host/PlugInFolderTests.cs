using Weir.Functions;
using Weir.Host.PlugIns;
using Weir.Tests.Learn;

namespace Weir.Tests.Host;

/// <summary>What is wrong with a folder of plug-ins is said before anything begins, with the files and classes that it is about.</summary>
public sealed class PlugInFolderTests : IDisposable
{
    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void The_functions_of_all_assemblies_are_found_by_their_names_and_Weir_s_own_assemblies_are_passed_over()
    {
        Emit("b.dll", new EmittedFunction("B.First", "first"), new EmittedFunction("B.Second", "second"));
        Emit("a.dll", new EmittedFunction("A.Third", "third"));
        File.Copy(typeof(IServerFunction).Assembly.Location, _folder["Weir.dll"]);
        _folder.Write("readme.txt", "not looked at");
        PlugInFolder loaded = PlugInFolder.Load(_folder[""]);
        Assert.Equal(["first", "second", "third"], loaded.Functions.Select(f => f.Name));
        Assert.Empty(loaded.RowFilters);
        loaded.Functions[0].Apply(default);
    }

    [Fact]
    public void A_folder_that_is_not_there_or_has_no_plug_in_is_named()
    {
        Fails("there is no folder of plug-ins", _folder["none"]);
        Fails("has a public class that implements IServerFunction or IRowFilterFactory: is it the folder with the built *.dll?", _folder[""]);
    }

    [Fact]
    public void A_file_that_is_no_assembly_is_named()
    {
        string file = _folder.Write("text.dll", "no assembly");
        Fails($"{file} is no .NET assembly", _folder[""]);
    }

    [Fact]
    public void A_class_that_cannot_be_created_is_named_with_its_file()
    {
        string hidden = Emit("hidden.dll", new EmittedFunction("Hidden.One", "one", Constructor: EmittedConstructor.Hidden));
        Fails($"Hidden.One of {hidden} has no public constructor without parameters", _folder[""]);
        File.Delete(hidden);
        string throws = Emit("throws.dll", new EmittedFunction("Throws.One", "one", Constructor: EmittedConstructor.Throws));
        Fails($"the constructor of Throws.One of {throws} threw InvalidOperationException: emitted to throw", _folder[""]);
    }

    [Fact]
    public void Two_functions_of_one_name_are_named_with_both_files()
    {
        string a = Emit("a.dll", new EmittedFunction("A.One", "clip")), b = Emit("b.dll", new EmittedFunction("B.Two", "clip"));
        Fails($"two plug-ins give a function clip: A.One of {a} and B.Two of {b}", _folder[""]);
    }

    [Theory]
    [InlineData("")]
    [InlineData("n")]
    public void A_name_has_1_to_256_bytes(string letter)
    {
        Emit("named.dll", new EmittedFunction("Named.One", string.Concat(Enumerable.Repeat(letter, 257))));
        Fails("a name has 1 to 256 bytes of UTF-8", _folder[""]);
    }

    private string Emit(string file, params EmittedFunction[] functions) => EmittedFunction.Write(_folder[file], functions);

    private static void Fails(string expected, string folder) => Assert.Contains(expected, Assert.Throws<PlugInException>(() => PlugInFolder.Load(folder)).Message);
}

using System.Reflection;
using System.Runtime.Loader;
using System.Text;
using Weir.Functions;
using Weir.Selection;
using Weir.Wire;

namespace Weir.Host.PlugIns;

/// <summary>
/// The plug-ins of a folder: the public classes of its assemblies that implement <see cref="IServerFunction"/> or <see cref="IRowFilterFactory"/>, one object of each. Who may write to the folder decides what runs in the process:
/// nothing that comes over the network gets there. Immutable.
/// </summary>
public sealed class PlugInFolder
{
    private PlugInFolder(string path, IReadOnlyList<IServerFunction> functions, IReadOnlyList<IRowFilterFactory> rowFilters) => (Path, Functions, RowFilters) = (path, functions, rowFilters);

    /// <summary>The folder, in full.</summary>
    public string Path { get; }

    /// <summary>Functions for servers, by their names.</summary>
    public IReadOnlyList<IServerFunction> Functions { get; }

    /// <summary>Filters of rows for workers, by their names.</summary>
    public IReadOnlyList<IRowFilterFactory> RowFilters { get; }

    /// <summary>
    /// Loads every <c>*.dll</c> of the folder, but not of folders below it. Assemblies that the plug-ins need beside those of Weir and .NET lie in it too. They stay loaded for the life of the process.
    /// </summary>
    /// <param name="folder">The folder.</param>
    /// <exception cref="PlugInException">There is no such folder; it has no plug-in; a file is no assembly, or was built against what is not there; a class cannot be created; a name is not one, or is given twice. The message names
    /// files and classes, and says what to do.</exception>
    public static PlugInFolder Load(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        string path = System.IO.Path.GetFullPath(folder);
        if (!Directory.Exists(path))
        {
            throw new PlugInException($"there is no folder of plug-ins {path}");
        }

        var context = new PlugInContext(path);
        var functions = new SortedList<string, IServerFunction>(StringComparer.Ordinal);
        var filters = new SortedList<string, IRowFilterFactory>(StringComparer.Ordinal);
        foreach (string file in Directory.GetFiles(path, "*.dll").Order(StringComparer.Ordinal))
        {
            foreach (Type type in context.ClassesOf(file))
            {
                if (typeof(IServerFunction).IsAssignableFrom(type))
                {
                    var function = (IServerFunction)Create(type, file);
                    Add(functions, NameOf(() => function.Name, type, file), function, "function");
                }

                if (typeof(IRowFilterFactory).IsAssignableFrom(type))
                {
                    var filter = (IRowFilterFactory)Create(type, file);
                    string name = NameOf(() => filter.Name, type, file);
                    if (name.AsSpan().IndexOfAny(",: ") >= 0 || name.Any(char.IsUpper))
                    {
                        throw new PlugInException($"the filter {Of(type, file)} is called '{name}': on a command line a name has no comma, colon, space or capital letter");
                    }

                    Add(filters, name, filter, "filter of rows");
                }
            }
        }

        return functions.Count + filters.Count > 0
            ? new PlugInFolder(path, [.. functions.Values], [.. filters.Values])
            : throw new PlugInException($"no assembly in {path} has a public class that implements {nameof(IServerFunction)} or {nameof(IRowFilterFactory)}: is it the folder with the built *.dll?");
    }

    private static object Create(Type type, string file)
    {
        if (type.GetConstructor(Type.EmptyTypes) is not { } constructor)
        {
            throw new PlugInException($"{Of(type, file)} has no public constructor without parameters: give it one, or make the class abstract or internal");
        }

        try
        {
            return constructor.Invoke(null);
        }
        catch (TargetInvocationException thrown)
        {
            throw new PlugInException($"the constructor of {Of(type, file)} threw {thrown.InnerException!.GetType().Name}: {thrown.InnerException.Message}", thrown);
        }
        catch (Exception unfit) when (IsUnfit(unfit))
        {
            throw new PlugInException($"{Of(type, file)} cannot be created: {unfit.Message}", unfit);
        }
    }

    private static string NameOf(Func<string> name, Type type, string file)
    {
        string given;
        try
        {
            given = name();
        }
        catch (Exception thrown)
        {
            throw new PlugInException($"the name of {Of(type, file)} cannot be had: {thrown.GetType().Name}: {thrown.Message}", thrown);
        }

        return !string.IsNullOrEmpty(given) && Encoding.UTF8.GetByteCount(given) <= FunctionRequest.MaxNameBytes
            ? given
            : throw new PlugInException($"{Of(type, file)} is called '{given}'; a name has 1 to {FunctionRequest.MaxNameBytes} bytes of UTF-8");
    }

    private static void Add<T>(SortedList<string, T> all, string name, T plugIn, string kind)
        where T : class
    {
        if (!all.TryAdd(name, plugIn))
        {
            throw new PlugInException(
                $"two plug-ins give a {kind} {name}: {Of(all[name].GetType(), all[name].GetType().Assembly.Location)} and {Of(plugIn.GetType(), plugIn.GetType().Assembly.Location)}. Rename one, or take its file out of the folder");
        }
    }

    private static string Of(Type type, string file) => $"{type.FullName} of {file}";

    // What the runtime throws where an assembly was built against something else than is there.
    private static bool IsUnfit(Exception exception) =>
        exception is BadImageFormatException or FileLoadException or FileNotFoundException or TypeLoadException or MissingMemberException or ReflectionTypeLoadException;

    /// <summary>Assemblies of the folder. Those that run already - Weir, .NET - are the ones that run, whatever lies in the folder: a function of another Weir's interface would be none.</summary>
    private sealed class PlugInContext(string folder) : AssemblyLoadContext($"plug-ins of {folder}")
    {
        private static readonly HashSet<string> Own = [.. Default.Assemblies.Select(loaded => loaded.GetName().Name!), .. Platform()];

        /// <summary>The public classes of a file that can be created.</summary>
        public IEnumerable<Type> ClassesOf(string file)
        {
            try
            {
                AssemblyName name = AssemblyName.GetAssemblyName(file);
                return IsShared(name) ? [] : [.. LoadFromAssemblyPath(file).GetExportedTypes().Where(type => type is { IsClass: true, IsAbstract: false, ContainsGenericParameters: false })];
            }
            catch (BadImageFormatException bad)
            {
                throw new PlugInException($"{file} is no .NET assembly that can be loaded here ({bad.Message}): take it out of the folder, or into one below", bad);
            }
            catch (Exception unfit) when (IsUnfit(unfit))
            {
                throw new PlugInException($"{file} cannot be loaded: {unfit.Message}. Build it against this release of Weir, and put what else it needs beside it", unfit);
            }
        }

        protected override Assembly? Load(AssemblyName assemblyName)
        {
            string path = System.IO.Path.Combine(folder, assemblyName.Name + ".dll");
            return !IsShared(assemblyName) && File.Exists(path) ? LoadFromAssemblyPath(path) : null;
        }

        private static bool IsShared(AssemblyName name) => Own.Contains(name.Name!);

        // What the process may load by itself, though it has not yet.
        private static IEnumerable<string> Platform() =>
            (AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES") as string ?? "").Split(System.IO.Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries).Select(file => System.IO.Path.GetFileNameWithoutExtension(file));
    }
}

/// <summary>A plug-in cannot be used; the message names it and says what to do.</summary>
public sealed class PlugInException : Exception
{
    /// <summary>Without a message.</summary>
    public PlugInException()
    {
    }

    /// <summary>With a message for the operator.</summary>
    public PlugInException(string message)
        : base(message)
    {
    }

    /// <summary>With what it came of.</summary>
    public PlugInException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }
}

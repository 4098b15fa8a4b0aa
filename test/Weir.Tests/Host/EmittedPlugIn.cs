using System.Reflection;
using System.Reflection.Emit;
using Weir.Functions;

namespace Weir.Tests.Host;

/// <summary>What an emitted function does with rows.</summary>
internal enum EmittedBody
{
    Nothing,
    Throws,

    /// <summary>It never comes back.</summary>
    Loops,
}

/// <summary>What its constructor is like.</summary>
internal enum EmittedConstructor
{
    Public,
    Hidden,
    Throws,
}

/// <summary>One class of an assembly of plug-ins that is not worth a project: it implements IServerFunction.</summary>
internal sealed record EmittedFunction(string Type, string Name, EmittedBody Body = EmittedBody.Nothing, EmittedConstructor Constructor = EmittedConstructor.Public)
{
    private static readonly ConstructorInfo Fault = typeof(InvalidOperationException).GetConstructor([typeof(string)])!;

    /// <summary>Writes an assembly; gives its path.</summary>
    public static string Write(string path, params EmittedFunction[] functions)
    {
        string name = Path.GetFileNameWithoutExtension(path);
        var assembly = new PersistedAssemblyBuilder(new AssemblyName(name), typeof(object).Assembly);
        ModuleBuilder module = assembly.DefineDynamicModule(name);
        foreach (EmittedFunction function in functions)
        {
            function.Emit(module);
        }

        assembly.Save(path);
        return path;
    }

    private void Emit(ModuleBuilder module)
    {
        TypeBuilder type = module.DefineType(Type, TypeAttributes.Public, typeof(object), [typeof(IServerFunction)]);
        MethodAttributes access = Constructor == EmittedConstructor.Hidden ? MethodAttributes.Private : MethodAttributes.Public;
        ILGenerator constructor = type.DefineConstructor(access, CallingConventions.Standard, System.Type.EmptyTypes).GetILGenerator();
        constructor.Emit(OpCodes.Ldarg_0);
        constructor.Emit(OpCodes.Call, typeof(object).GetConstructor(System.Type.EmptyTypes)!);
        if (Constructor == EmittedConstructor.Throws)
        {
            Throw(constructor);
        }

        constructor.Emit(OpCodes.Ret);
        const MethodAttributes Member = MethodAttributes.Public | MethodAttributes.Virtual | MethodAttributes.HideBySig;
        ILGenerator named = type.DefineMethod("get_Name", Member | MethodAttributes.SpecialName, typeof(string), System.Type.EmptyTypes).GetILGenerator();
        named.Emit(OpCodes.Ldstr, Name);
        named.Emit(OpCodes.Ret);
        ILGenerator apply = type.DefineMethod(nameof(IServerFunction.Apply), Member, typeof(void), [typeof(FunctionCall)]).GetILGenerator();
        if (Body == EmittedBody.Loops)
        {
            Label again = apply.DefineLabel();
            apply.MarkLabel(again);
            apply.Emit(OpCodes.Br, again);
        }
        else if (Body == EmittedBody.Throws)
        {
            Throw(apply);
        }

        apply.Emit(OpCodes.Ret);
        type.CreateType();
    }

    private static void Throw(ILGenerator code)
    {
        code.Emit(OpCodes.Ldstr, "emitted to throw");
        code.Emit(OpCodes.Newobj, Fault);
        code.Emit(OpCodes.Throw);
    }
}

using CsCheck;
using Weir.Learn.Logistic;

namespace Weir.Tests.Learn;

public class KeyIndexTests
{
    // Few distinct keys so that they repeat, many so that the table grows, and keys that differ in their high bits only.
    private static readonly Gen<ulong[]> Keys = Gen.OneOf(
        Gen.ULong[0, 50].Array[0, 300],
        Gen.ULong.Array[0, 6000],
        Gen.ULong[0, 5000].Select(key => key << 48).Array[0, 3000],
        Gen.OneOf(Gen.Const(0UL), Gen.Const(ulong.MaxValue), Gen.Const(1UL << 63), Gen.Const(1UL << 32)).Array[0, 30]);

    [Fact]
    public void Keys_are_numbered_in_the_order_of_their_first_appearance_batch_after_batch()
    {
        Keys.Array[1, 4].Sample(batches =>
        {
            var index = new KeyIndex();
            foreach (ulong[] keys in batches)
            {
                index.Clear();
                int[] numbers = new int[keys.Length];
                index.AddAll(keys, numbers);
                ulong[] distinct = [.. keys.Distinct()];
                Assert.Equal(distinct, index.Distinct.ToArray());
                Dictionary<ulong, int> model = distinct.Select((key, number) => (key, number)).ToDictionary(pair => pair.key, pair => pair.number);
                Assert.Equal(keys.Select(key => model[key]), numbers);
            }
        }, iter: 200);
    }
}

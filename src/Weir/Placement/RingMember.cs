namespace Weir.Placement;

/// <summary>A node as placement sees it.</summary>
/// <param name="NodeId">The node's number in the map; two members never share one.</param>
/// <param name="WeightPercent">Its share of the load against other members, in percent of an ordinary node: 1 to 10,000, ordinarily 100.</param>
/// <param name="Zone">Its failure domain, such as a machine, rack or zone. Members of one chain differ in it while domains suffice.</param>
internal readonly record struct RingMember(ulong NodeId, int WeightPercent, string Zone);

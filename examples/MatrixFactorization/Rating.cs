namespace MatrixFactorization;

/// <summary>One row of a file of ratings.</summary>
/// <param name="User">The user's id, which is the key of a row of the table of users.</param>
/// <param name="Item">The film's id, which is the key of a row of the table of items.</param>
/// <param name="Stars">0 to 5.</param>
internal readonly record struct Rating(ulong User, ulong Item, float Stars);

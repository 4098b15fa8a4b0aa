using Weir.Wire;

namespace Weir.Client;

/// <summary>
/// The key lists that one node has answered for, and so keeps most likely: they may be named to it (design section 7). Where it forgets them
/// as fast as they are used, since all clients together have more than it keeps, naming one costs a second request and its values
/// sent twice; so after a miss no list is named for a while, longer with each miss. Guarded by the client's gate.
/// </summary>
internal sealed class AnsweredKeyLists
{
    // A quarter of what a server keeps for all of its clients.
    private const long LimitBytes = 64L << 20;

    private const int FirstPause = 16;

    // A missed list in so many costs nothing that shows.
    private const int LongestPause = 4096;

    private readonly KeyListCache _lists = new(LimitBytes);
    private int _pause;
    private int _pauseLeft;

    /// <summary>Counts a list that is about to be written; gives what was answered for, and whether it may be named.</summary>
    public (KeyList? List, bool MayBeNamed) Find(uint table, uint segment, UInt128 hash)
    {
        bool pauses = _pauseLeft > 0;
        _pauseLeft -= pauses ? 1 : 0;
        return (_lists.Find(table, segment, hash), !pauses);
    }

    /// <summary>The node has answered what was written so.</summary>
    public void Answered(in WrittenKeys keys)
    {
        if (keys.Keep)
        {
            _lists.Keep(keys.List!);
        }
        else if (keys.List is not null)
        {
            // One step for each that was found against a doubling for each miss: a few that are found do not outweigh many that are not.
            _pause = Math.Max(0, _pause - 1);
        }
    }

    /// <summary>The node asks for keys that were named.</summary>
    public void Forgotten(in WrittenKeys keys)
    {
        if (keys.List is not { } list)
        {
            return;
        }

        _lists.Drop(list);
        if (_pauseLeft == 0)
        {
            // Of what was named before the pause began more may be missed: that is the same miss.
            _pause = Math.Clamp(2 * _pause, FirstPause, LongestPause);
            _pauseLeft = _pause;
        }
    }
}

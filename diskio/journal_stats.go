package diskio

import (
	"sync/atomic"
	"time"
)

// JournalStats are what a Syncer with a journal has done so far.
type JournalStats struct {
	Rounds, Entries, Bytes  uint64 // of the journal, and what they made durable
	FileSyncs, FileBytes    uint64 // requests for which the file itself was synced, and their bytes
	Checkpoints             uint64 // syncs of files whose bytes stood in the journal
	Recycled                uint64 // files of the journal that were used again
	Replayed, ReplayedBytes uint64 // ranges written at the start
	LastRound, LastFileSync time.Duration
	Owing                   uint64 // files that owe a sync now
}

type journalStats struct {
	rounds, entries, bytes, fileSyncs, fileBytes, checkpoints, recycled, replayed, replayedBytes, owing atomic.Uint64
	lastRound, lastFileSync                                                                             atomic.Int64
}

// Stats tells what was done so far (any goroutine).
func (j *Journal) Stats() JournalStats {
	s := &j.stats
	return JournalStats{
		Rounds: s.rounds.Load(), Entries: s.entries.Load(), Bytes: s.bytes.Load(),
		FileSyncs: s.fileSyncs.Load(), FileBytes: s.fileBytes.Load(),
		Checkpoints: s.checkpoints.Load(), Recycled: s.recycled.Load(),
		Replayed: s.replayed.Load(), ReplayedBytes: s.replayedBytes.Load(), Owing: s.owing.Load(),
		LastRound: time.Duration(s.lastRound.Load()), LastFileSync: time.Duration(s.lastFileSync.Load()),
	}
}

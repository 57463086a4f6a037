package quorum

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/cluster"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// Limits that raft leaves unlimited by default. A quorum of one meets only the first.
const (
	maxUncommitted = 64 << 20
	maxMessage     = 1 << 20
	maxInFlight    = 64
	electionTicks  = 10
)

// Open reads the metadata log and answers when this node leads it and the image holds
// everything in it. A new log begins with the cluster's id and its features.
func Open(o Options) (*Quorum, error) {
	o.complete()
	q := &Quorum{options: o, closing: make(chan struct{}, 1), ended: make(chan struct{})}
	q.mail.wake = make(chan struct{}, 1)
	q.owner.dir = filepath.Join(o.Folders[0], logFolder)
	if err := q.open(); err != nil {
		if q.owner.journal != nil && !errors.As(err, new(*syncError)) {
			err = errors.Join(err, q.owner.journal.log.Close())
		}
		return nil, fmt.Errorf("open the metadata quorum in %s: %w", q.owner.dir, err)
	}
	go q.run()
	return q, nil
}

func (q *Quorum) open() error {
	var err error
	o := &q.options
	if q.claimed, err = Claim(o.FS, o.Folders, o.NodeID, o.ClusterID, o.NewID); err != nil {
		return err
	}
	o.ClusterID, q.life = q.claimed[0].ClusterID, o.NewID()
	if err := o.FS.MkdirAll(q.owner.dir); err != nil {
		return err
	}
	if err := q.load(); err != nil {
		return err
	}
	if err := q.lead(); err != nil {
		return err
	}
	if q.Image().ClusterID() == "" {
		if err := q.found(); err != nil {
			return err
		}
	}
	if known := q.Image().ClusterID(); known != o.ClusterID {
		return fmt.Errorf("the log is of cluster %s, and this is cluster %s", known, o.ClusterID)
	}
	return nil
}

// load reads the files.
func (q *Quorum) load() error {
	o := &q.owner
	state, err := q.loadState()
	if err != nil {
		return err
	}
	image, at, err := q.loadSnapshot()
	if err != nil {
		return err
	}
	if o.journal, err = openJournal(q.options, o.dir); err != nil {
		return err
	}
	if first, last := o.journal.first(), o.journal.last(); first > at.Index+1 || last < at.Index {
		return fmt.Errorf("the log has the entries %d to %d, and the newest snapshot that can be read ends at %d", first, last, at.Index)
	}
	entries, err := o.journal.load(at)
	if err != nil {
		return err
	}
	if last := o.journal.last(); last < state.Commit {
		return fmt.Errorf("the log ends at entry %d and entry %d is known to be committed: "+
			"what was promised is gone, so this node must not vote with this folder again", last, state.Commit)
	}
	if last := int64(o.journal.last()); last < q.options.Least {
		return fmt.Errorf("the log ends at entry %d, and at the last clean stop it ended at %d: it is an older one, beside which topics that were made since would be nobody's; bring back the newest %s",
			last, q.options.Least, logFolder)
	}
	o.memory = newMemory(at.Index, at.Term)
	o.memory.append(entries)
	o.memory.conf = &raftpb.ConfState{Voters: []uint64{raftID(q.options.NodeID)}}
	o.memory.snapshot = q.raftSnapshot
	o.memory.hard = &raftpb.HardState{Term: new(state.Term), Vote: new(uint64(state.Vote + 1)), Commit: new(max(state.Commit, at.Index))}
	o.term, o.applied, o.newest = state.Term, at, image
	q.image.Store(image)
	return nil
}

// raftID is the node's id for raft, which has no node 0.
func raftID(node int32) uint64 { return uint64(node) + 1 }

func (q *Quorum) loadState() (hardState, error) {
	text, err := diskio.ReadFile(q.options.FS, filepath.Join(q.owner.dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return hardState{Vote: noVote}, nil
	}
	var state hardState
	if err == nil {
		state, err = parseState(text)
	}
	if err != nil {
		return state, fmt.Errorf("read %s: %w", stateFile, err)
	}
	if state.ClusterID != q.options.ClusterID {
		return state, fmt.Errorf("%s is of cluster %s, and this is cluster %s", stateFile, state.ClusterID, q.options.ClusterID)
	}
	return state, nil
}

func (q *Quorum) saveState(hard *raftpb.HardState) error {
	state := hardState{
		ClusterID: q.options.ClusterID, Term: hard.GetTerm(), Vote: int32(hard.GetVote()) - 1, Commit: hard.GetCommit(),
	}
	if err := diskio.WriteNeeded(q.options.FS, filepath.Join(q.owner.dir, stateFile), state.encode()); err != nil {
		return fmt.Errorf("write %s: %w", stateFile, err)
	}
	return nil
}

// loadSnapshot reads the newest snapshot that can be read. The log reaches back to the one
// before the newest, so one damaged snapshot costs nothing but a warning.
func (q *Quorum) loadSnapshot() (*cluster.Image, point, error) {
	o := &q.owner
	points, err := listSnapshots(q.options.FS, o.dir)
	if err != nil {
		return nil, point{}, err
	}
	for _, at := range points {
		image, found, voters, err := readSnapshot(q.options.FS, o.dir, at)
		if err != nil {
			q.options.Log.Error("a snapshot of the metadata cannot be read; the one before it and the log are used",
				"file", filepath.Join(o.dir, snapshotName(at)), "error", err)
			continue
		}
		if !slices.Equal(voters, []int32{q.options.NodeID}) {
			return nil, point{}, fmt.Errorf("snapshot %s has the voters %v, and this is a quorum of one, of node %d",
				snapshotName(at), voters, q.options.NodeID)
		}
		o.snapshots = append(o.snapshots, found)
		return image, found, nil
	}
	return cluster.Empty(), point{}, nil
}

// lead makes this node the leader and applies everything in the log.
func (q *Quorum) lead() error {
	o := &q.owner
	node, err := raft.NewRawNode(&raft.Config{
		ID: raftID(q.options.NodeID), Storage: o.memory, Applied: o.applied.Index, Logger: raftLogger{q.options.Log},
		ElectionTick: electionTicks, HeartbeatTick: 1, PreVote: true, CheckQuorum: true, ReadOnlyOption: raft.ReadOnlySafe,
		MaxSizePerMsg: maxMessage, MaxCommittedSizePerReady: maxUncommitted, MaxUncommittedEntriesSize: maxUncommitted,
		MaxInflightMsgs: maxInFlight, MaxInflightBytes: maxInFlight * maxMessage,
	})
	if err != nil {
		return err
	}
	o.node = node
	if err := node.Campaign(); err != nil {
		return err
	}
	if err := q.settle(); err != nil {
		return err
	}
	switch {
	case o.held != nil:
		return fmt.Errorf("%w: free some space, a few hundred kilobytes are enough, and start again; retention then frees more", ErrFull)
	case !o.leads || o.applied.Term != o.term:
		panic(fmt.Sprintf("quorum: the only voter does not lead: leads %v, term %d, applied %+v", o.leads, o.term, o.applied))
	}
	return nil
}

// found begins a new cluster.
func (q *Quorum) found() error {
	err := errors.New("the first records were not answered")
	q.decide(&request{
		decide: func(*cluster.Image) ([]cluster.Record, error) { return cluster.Found(q.options.ClusterID), nil },
		done:   func(_ *cluster.Image, result error) { err = result },
	})
	return errors.Join(q.settle(), err)
}

// raftSnapshot is what a follower would be sent.
func (q *Quorum) raftSnapshot() (*raftpb.Snapshot, error) {
	o := &q.owner
	data, err := encodeSnapshot(q.Image(), o.applied, []int32{q.options.NodeID}, q.options.Now().UnixMilli())
	if err != nil {
		return nil, err
	}
	return &raftpb.Snapshot{Data: data, Metadata: &raftpb.SnapshotMetadata{
		ConfState: o.memory.conf, Index: new(o.applied.Index), Term: new(o.applied.Term),
	}}, nil
}

// takeSnapshot writes the image beside the log and gives up what two snapshots cover. A
// full disk is no fault: the log stays as it is, and the next attempt comes when it has
// grown as much again.
func (q *Quorum) takeSnapshot() error {
	o := &q.owner
	now := q.options.Now()
	text, err := encodeSnapshot(q.Image(), o.applied, []int32{q.options.NodeID}, now.UnixMilli())
	if err == nil {
		err = diskio.WriteFile(q.options.FS, filepath.Join(o.dir, snapshotName(o.applied)), text)
	}
	o.grown = 0
	if full(err) {
		q.options.Log.Warn("no space for a snapshot of the metadata", "dir", o.dir, "error", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("write a snapshot of the metadata: %w", err)
	}
	o.snapshots = slices.Insert(o.snapshots, 0, o.applied)
	if len(o.snapshots) < 2 {
		return nil
	}
	o.snapshots = o.snapshots[:2]
	if err := o.journal.forget(o.snapshots[1].Index, now); err != nil && !full(err) {
		return err
	}
	return q.dropSnapshots()
}

// dropSnapshots removes all snapshots but the two that are in use.
func (q *Quorum) dropSnapshots() error {
	o := &q.owner
	points, err := listSnapshots(q.options.FS, o.dir)
	if full(err) {
		return nil // the next snapshot drops them
	}
	if err != nil {
		return err
	}
	for _, at := range points {
		if slices.ContainsFunc(o.snapshots, func(used point) bool { return used.Index == at.Index && used.Term == at.Term }) {
			continue
		}
		if err := q.options.FS.Remove(filepath.Join(o.dir, snapshotName(at))); err != nil {
			return fmt.Errorf("remove an old snapshot of the metadata: %w", err)
		}
	}
	return nil
}

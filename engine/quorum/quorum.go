package quorum

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/cluster"
	"github.com/twmb/franz-go/pkg/kerr"
)

// logFolder is the folder of the metadata log, named as Kafka names it.
const logFolder = cluster.MetadataTopic + "-0"

// Bounds on what is on its way at once.
const (
	maxChange = 16 << 20 // bytes of one change
	maxGroup  = 4 << 20  // bytes gathered into one append before it is written
)

// Errors that a change can be answered with besides the decision's own. Each wraps a
// *kerr.Error that says what to tell a client.
var (
	// ErrClosed means that the quorum was closed before the change was taken.
	ErrClosed = fmt.Errorf("the metadata quorum is closed: %w", kerr.NotController)
	// ErrStopped means that the quorum stopped after a fault; Err says which. Whether the
	// change happened is not known.
	ErrStopped = fmt.Errorf("the metadata quorum has stopped: %w", kerr.KafkaStorageError)
	// ErrFull means that the disk of the metadata log is full. A change that was on its
	// way may still happen once there is space.
	ErrFull = fmt.Errorf("the disk of the metadata log is full: %w", kerr.KafkaStorageError)
	// ErrBusy means that too many changes wait.
	ErrBusy = fmt.Errorf("too many changes of the cluster wait: %w", kerr.ThrottlingQuotaExceeded)
	// ErrTooLarge means that a change has more bytes than one may.
	ErrTooLarge = fmt.Errorf("the change of the cluster is too large: %w", kerr.PolicyViolation)
)

// Options are what a quorum needs from outside. FS, Folders and Log must be set.
type Options struct {
	FS diskio.FS
	// Folders are the log directories of this node. Each gets its meta.properties; the
	// first holds the metadata log, in its folder __cluster_metadata-0.
	Folders []string
	NodeID  int32
	// ClusterID is the cluster that the folders must belong to. Empty: the one that they
	// belong to, or a new one.
	ClusterID string
	// Rewrite: a sync in the first folder has failed before; see commitlog.Recovery.
	Rewrite bool
	// Least is the end that the log is known to have reached. Zero: nothing is known.
	Least int64
	// SnapshotBytes is by how much the log grows before the image is written as a snapshot
	// and the log's prefix goes. Zero: 20 MiB, as in Kafka.
	SnapshotBytes int64
	// MaxWaiting is how many changes may wait to be decided. Zero: 10,000.
	MaxWaiting int
	// Now is the clock. It only dates the log's batches. Nil: the system's.
	Now func() time.Time
	// NewID draws ids (cluster.NewID). Nil: from the system's randomness.
	NewID func() cluster.ID
	// Ticks drives raft's timeouts, one tick a value. Nil: none; a quorum of one needs none.
	Ticks <-chan time.Time
	// Applied is told of every change after its image is published and before the change is
	// answered. It runs on the owner goroutine and must not block; it may call Change. What
	// was in the log when the quorum opened it is not told: Image has that. Nil: nobody is told.
	Applied func(before, after *cluster.Image)
	// Failed is told, once and on the owner goroutine, of the fault that stopped the
	// quorum. Nil: nobody is told.
	Failed func(error)
	Log    *slog.Logger
}

// complete fills in what was left out.
func (o *Options) complete() {
	if o.SnapshotBytes == 0 {
		o.SnapshotBytes = 20 << 20
	}
	if o.MaxWaiting == 0 {
		o.MaxWaiting = 10_000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewID == nil {
		o.NewID = func() cluster.ID {
			return cluster.NewID(func() (random [16]byte) {
				rand.Read(random[:])
				return random
			})
		}
	}
}

// Decision decides a change on the newest image. It runs on the owner goroutine and must
// not block. The records are all written or none; without records nothing is, and the
// change is answered once everything that the image held is durable. An error is the answer
// to the change, and nothing is written.
type Decision = func(image *cluster.Image) ([]cluster.Record, error)

// Quorum is one node of the quorum. Its methods are safe from every goroutine.
type Quorum struct {
	options Options
	claimed []Properties // one of each folder
	life    cluster.ID
	mail    mailbox
	image   atomic.Pointer[cluster.Image]
	status  atomic.Pointer[Status]
	fault   atomic.Pointer[error]
	closing chan struct{} // one token asks the owner to end
	ended   chan struct{} // closed when the owner has ended
	owner   owner         // the owner goroutine's
}

// Status is where the quorum stands.
type Status struct {
	// Leader is the node that leads, −1 when none is known.
	Leader int32
	// Term is raft's term, Kafka's leader epoch of the metadata log.
	Term int64
	// Start and End are the offsets of the log: the first kept, and the one behind the last
	// that is committed and applied.
	Start, End int64
	// LogEnd is the offset behind the last entry in the log, committed or not.
	LogEnd int64
	// Snapshot is the end offset of the newest snapshot, 0 when there is none.
	Snapshot int64
	Voters   []int32
}

// ClusterID is the cluster that this node belongs to.
func (q *Quorum) ClusterID() string { return q.claimed[0].ClusterID }

// Directories are the ids of the folders, in the order of Options.Folders.
func (q *Quorum) Directories() []cluster.ID {
	ids := make([]cluster.ID, 0, len(q.claimed))
	for _, p := range q.claimed {
		ids = append(ids, p.Directory)
	}
	return ids
}

// Incarnation is drawn when the quorum opens and names this life of the node.
func (q *Quorum) Incarnation() cluster.ID { return q.life }

// Image is the newest committed image. It never goes back.
func (q *Quorum) Image() *cluster.Image { return q.image.Load() }

// Status is where the quorum stands.
func (q *Quorum) Status() Status { return *q.status.Load() }

// Err is the fault that stopped the quorum, or nil.
func (q *Quorum) Err() error {
	if fault := q.fault.Load(); fault != nil {
		return *fault
	}
	return nil
}

// Done is closed when the quorum has ended, by Close or by a fault.
func (q *Quorum) Done() <-chan struct{} { return q.ended }

// Change takes a decision on the newest image and writes what it decides. Decisions run
// one after the other, and each sees what the ones before it decided. done is called
// exactly once: with an image that holds the change, on the owner goroutine, once the change
// is durable; or with an error, which may be that nobody decided anything, and come before Change
// returns. It must not block; it may call Change.
func (q *Quorum) Change(decide Decision, done func(*cluster.Image, error)) {
	if q.mail.size.Load() >= int64(q.options.MaxWaiting) {
		done(nil, ErrBusy)
		return
	}
	if !q.mail.push(&request{decide: decide, done: done}) {
		done(nil, q.ending())
	}
}

// Propose writes records that need no decision.
func (q *Quorum) Propose(records []cluster.Record, done func(*cluster.Image, error)) {
	q.Change(func(*cluster.Image) ([]cluster.Record, error) { return records, nil }, done)
}

// ending is what a change is told that comes too late.
func (q *Quorum) ending() error {
	if err := q.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrStopped, err)
	}
	return ErrClosed
}

// Close ends the quorum. What was handed in before is still done and answered. It answers
// the fault that stopped the quorum before, if one did. It waits for the owner goroutine, so
// nothing that runs there may call it.
func (q *Quorum) Close() error {
	select {
	case q.closing <- struct{}{}:
	default:
	}
	<-q.ended
	return q.Err()
}

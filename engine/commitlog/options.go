package commitlog

import (
	"errors"
	"log/slog"
	"math"
	"strconv"
	"time"

	"github.com/millrace/millrace/diskio"
)

// Options are a topic's settings, as far as they concern its files.
type Options struct {
	FS diskio.FS // Nil: the operating system's
	// SegmentBytes is the size that a segment does not pass, unless one batch is larger.
	// Zero: 1 GiB.
	SegmentBytes int64
	// SegmentAge is how much younger than the first batch of a segment the last may be, by
	// their timestamps. Zero: 7 days.
	SegmentAge time.Duration
	// IndexInterval is about how many bytes lie between two index entries. Zero: 4096.
	IndexInterval int
	// IndexBytes is the size that an index does not pass. Zero: 10 MiB.
	IndexBytes int
	// RetentionBytes is how much Retain keeps, in whole segments. Negative: everything.
	RetentionBytes int64
	// RetentionAge is how long Retain keeps a segment after its largest timestamp.
	// Negative: for ever.
	RetentionAge time.Duration
	// DeleteDelay is how long the files of a deleted segment or log stay, renamed.
	DeleteDelay time.Duration
	// SyncOnRoll makes a segment durable before the next but one begins, and has Commit ask
	// for both that may not be: the modes in which somebody counts on syncs. Without it that
	// happens some time after the roll. Files and folders are durable in both.
	SyncOnRoll bool
	// Cache is told of what is appended and read. Nil: nobody is.
	Cache *diskio.PageCache
	// TopicID goes to partition.metadata, and must be what stands there already. Zero: none.
	TopicID [16]byte
	// Forget has the journal of the disk never bring back what it has of a file, durably. Nil:
	// there is no journal.
	Forget func(name string) error
	// Failed is told of a sync that failed where nobody waits for it, on any goroutine. Nil:
	// the next change of the log is.
	Failed func(error)
	// Now is the clock for segments whose batches have no timestamp. Nil: time.Now.
	Now func() time.Time
	// Later runs f after a delay, on a goroutine of its choice. Nil: time.AfterFunc.
	Later func(delay time.Duration, f func())
}

// defaultInterval is how many bytes lie between index entries, if nothing else is said.
const defaultInterval = 4096

func (o Options) complete() Options {
	if o.FS == nil {
		o.FS = diskio.OS
	}
	if o.SegmentBytes <= 0 || o.SegmentBytes > math.MaxInt32 {
		o.SegmentBytes = 1 << 30
	}
	if o.SegmentAge <= 0 {
		o.SegmentAge = 7 * 24 * time.Hour
	}
	if o.IndexInterval <= 0 {
		o.IndexInterval = defaultInterval
	}
	if o.IndexBytes <= 0 {
		o.IndexBytes = 10 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Later == nil {
		o.Later = func(delay time.Duration, f func()) { time.AfterFunc(delay, f) }
	}
	return o
}

// Recovery says how the log was left.
type Recovery struct {
	// Clean: Close was the last that happened to the log. Then no data is read.
	Clean bool
	// From says that all batches below this offset are known to be durable: they are not
	// checked, and a log that ends before is damaged. Who truncates the log must remember
	// no higher one. Negative: not known, the last segment is checked.
	From int64
	// Last is the checksum of the batch that ended at From, if Lasts: another batch there
	// shows that the files are another log's, or of another time.
	Last  uint32
	Lasts bool
	// Rewrite: a sync has failed since this machine was started, and the page cache may show
	// what is not on the disk and what no later sync would put there. What is recovered is
	// written again before it counts as durable.
	Rewrite bool
	Log     *slog.Logger // Nil: slog.Default
}

// ErrClosed says that the log was closed, or deleted.
var ErrClosed = errors.New("the log is closed")

// FolderName is the name of a partition's folder.
func FolderName(topic string, partition int32) string {
	return topic + "-" + strconv.Itoa(int(partition))
}

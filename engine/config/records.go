package config

import (
	"math"
	"time"

	"github.com/millrace/millrace/sdk/setting"
)

// Topics.
var (
	Partitions = topics.Int(setting.Int{
		Name: "num.partitions", Default: 1, Min: 1,
		Doc: "Partitions of a topic whose creator does not say how many.",
	})
	ReplicationFactor = topics.Int(setting.Int{
		Name: "default.replication.factor", Default: 1, Min: math.MinInt32,
		Doc: "Copies of each partition of a topic whose creator does not say how many. More than there are brokers cannot be had: there is one.",
	})
	AutoCreateTopics = topics.Bool(setting.Bool{
		Name: "auto.create.topics.enable", Default: true,
		Doc: "A client that asks about a topic that does not exist creates it.",
	})
	DeleteTopics = topics.Bool(setting.Bool{
		Name: "delete.topic.enable", Default: true,
		Doc: "Topics can be deleted.",
	})
	MinInSyncReplicas = topics.Int(setting.Int{
		Name: "min.insync.replicas", Topic: "min.insync.replicas", Default: 1, Min: 1, Dynamic: setting.ClusterWide,
		Doc: "Copies that must be in sync for a produce with acks=all. With fewer it is answered NOT_ENOUGH_REPLICAS.",
	})
	_ = topics.Table(setting.Refused, wontLoad,
		setting.Row{Name: "create.topic.policy.class.name", Type: setting.TypeClass, Null: true, Doc: "Policy that may forbid the creation of a topic."},
		setting.Row{Name: "alter.config.policy.class.name", Type: setting.TypeClass, Null: true, Doc: "Policy that may forbid a change of settings."},
	)
)

// Records.
var (
	MaxMessageBytes = records.Int(setting.Int{
		Name: "message.max.bytes", Topic: "max.message.bytes", Default: 1<<20 + 12, Dynamic: setting.ClusterWide,
		Doc: "Largest record batch, as it is sent (compressed).",
	})
	Compression = records.String(setting.String{
		Name: "compression.type", Topic: "compression.type", Default: "producer", Dynamic: setting.ClusterWide,
		Choices: []string{"uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"},
		Doc:     "Codec that batches are stored with. producer: as they come, untouched.",
	})
	GzipLevel = records.Int(setting.Int{
		Name: "compression.gzip.level", Topic: "compression.gzip.level", Default: -1, Min: 1, Max: 9, Or: -1, Dynamic: setting.ClusterWide,
		Doc: "Level when compression.type is gzip. -1: the codec's own choice.",
	})
	LZ4Level = records.Int(setting.Int{
		Name: "compression.lz4.level", Topic: "compression.lz4.level", Default: 9, Min: 1, Max: 17, Dynamic: setting.ClusterWide,
		Doc: "Level when compression.type is lz4.",
	})
	ZstdLevel = records.Int(setting.Int{
		Name: "compression.zstd.level", Topic: "compression.zstd.level", Default: 3, Min: -131072, Max: 22, Dynamic: setting.ClusterWide,
		Doc: "Level when compression.type is zstd.",
	})
	TimestampType = records.String(setting.String{
		Name: "log.message.timestamp.type", Topic: "message.timestamp.type", Default: "CreateTime", Dynamic: setting.ClusterWide,
		Choices: []string{"CreateTime", "LogAppendTime"},
		Doc:     "Timestamp of a record: the producer's, or the time when the broker got it.",
	})
	TimestampBeforeMax = records.Duration(setting.Duration{
		Name: "log.message.timestamp.before.max.ms", Topic: "message.timestamp.before.max.ms", Default: math.MaxInt64, Dynamic: setting.ClusterWide,
		Doc: "How far a record's timestamp may lie in the past (CreateTime only).",
	})
	TimestampAfterMax = records.Duration(setting.Duration{
		Name: "log.message.timestamp.after.max.ms", Topic: "message.timestamp.after.max.ms", Default: 3_600_000, Dynamic: setting.ClusterWide,
		Doc: "How far a record's timestamp may lie in the future (CreateTime only).",
	})
)

// Log.
var (
	LogDirs = storage.List(setting.List{
		Name: "log.dirs", Synonyms: []string{"log.dir"}, Null: true,
		Doc: "Data folders. Partitions are spread over them. Unset: log.dir.",
	})
	_ = storage.List(setting.List{
		Name: "log.dir", Default: []string{"./millrace-data"}, Kafka: "/tmp/kafka-logs",
		Doc: "Data folder, when log.dirs is not given.",
	})
	SegmentBytes = storage.Int(setting.Int{
		Name: "log.segment.bytes", Topic: "segment.bytes", Default: 1 << 30, Min: 1 << 20, Dynamic: setting.ClusterWide,
		Doc: "Size at which a segment file is closed and the next one begun.",
	})
	// SegmentBytesInternal lets tests have small segments, as Kafka's do.
	SegmentBytesInternal = storage.Int(setting.Int{
		Topic: "internal.segment.bytes", Null: true, Internal: true,
		Doc: "Size of a segment without the lower limit of segment.bytes, which it replaces; for tests.",
	})
	SegmentAge = storage.Duration(setting.Duration{
		Name: "log.roll.ms", Topic: "segment.ms", Synonyms: []string{"log.roll.hours"}, Null: true, Min: 1, Dynamic: setting.ClusterWide,
		Kafka: "none for log.roll.ms",
		Doc:   "Age at which a segment is closed even if it is not full, so that retention can remove it. Unset: log.roll.hours.",
	})
	_ = storage.Duration(setting.Duration{
		Name: "log.roll.hours", Unit: time.Hour, Default: 168, Min: 1, Int: true,
		Doc: "The same in hours, when log.roll.ms is not given.",
	})
	_ = storage.Duration(setting.Duration{
		Name: "log.roll.jitter.ms", Topic: "segment.jitter.ms", Synonyms: []string{"log.roll.jitter.hours"}, Null: true, Dynamic: setting.ClusterWide,
		Effect: setting.Ignored, Note: "segments close at their age exactly",
		Doc: "Most that is taken at random from the age at which a segment is closed.",
	})
	_ = storage.Duration(setting.Duration{
		Name: "log.roll.jitter.hours", Unit: time.Hour, Int: true, Effect: setting.Ignored, Note: "segments close at their age exactly",
		Doc: "The same in hours, when log.roll.jitter.ms is not given.",
	})
	IndexIntervalBytes = storage.Int(setting.Int{
		Name: "log.index.interval.bytes", Topic: "index.interval.bytes", Default: 4096, Dynamic: setting.ClusterWide,
		Doc: "Bytes of log between two entries of its offset index.",
	})
	IndexBytes = storage.Int(setting.Int{
		Name: "log.index.size.max.bytes", Topic: "segment.index.bytes", Default: 10 << 20, Min: 4, Dynamic: setting.ClusterWide,
		Doc: "Largest index; a segment whose index is full is closed.",
	})
	DeleteDelay = storage.Duration(setting.Duration{
		Name: "log.segment.delete.delay.ms", Topic: "file.delete.delay.ms", Default: 60_000, Dynamic: setting.ClusterWide,
		Doc: "Time between taking a file out of use and removing it.",
	})
	PageCacheBytes = storage.Long(setting.Long{
		Name: "log.page.cache.bytes", Default: 1 << 30, Min: -1, Kafka: "no such setting: all memory, as the system likes",
		Doc: "For each data folder, how much of what was appended last stays in the page cache, where consumers read it without the disk. What is older is dropped once it is written, so that a broker which writes for hours keeps its speed and leaves memory to others. -1: the system decides.",
	})
	ColdBufferBytes = storage.Long(setting.Long{
		Name: "log.cold.buffer.bytes", Default: 32 << 20, Min: 0, Kafka: "no such setting: everything is read through the page cache",
		Doc: "Memory for what consumers read that are far behind, of all data folders together. It is read from the disk past the page cache, so that it takes the place of nothing there, and sent from this memory. When all of it waits for consumers that do not read, and where the file system cannot do that (O_DIRECT), records come through the page cache. 0: they always do. Each byte is read from the disk once where there are about two MiB for each consumer that is behind at the same time; with less, parts are read again.",
	})
	_ = storage.Bool(setting.Bool{
		Name: "log.preallocate", Topic: "preallocate", Dynamic: setting.ClusterWide, Effect: setting.Ignored, Note: noReader,
		Doc: "Reserve the whole of a new segment file at once.",
	})
	_ = storage.Table(setting.Ignored, noReader,
		setting.Row{Name: "log.dir.failure.timeout.ms", Type: setting.TypeLong, Default: "30000", Min: 1, Doc: "Time to tell the controller of a failed data folder."},
		setting.Row{Name: "log.flush.offset.checkpoint.interval.ms", Type: setting.TypeInt, Default: "60000", Doc: "Time between two writings of the recovery points."},
		setting.Row{Name: "log.flush.start.offset.checkpoint.interval.ms", Type: setting.TypeInt, Default: "60000", Doc: "Time between two writings of the start offsets."},
		setting.Row{Name: "log.initial.task.delay.ms", Type: setting.TypeLong, Default: "30000", Doc: "Time from the start to the first background work on logs."},
		setting.Row{Name: "cordoned.log.dirs", Type: setting.TypeList, Dynamic: setting.PerBroker, Doc: "Data folders that get no new partitions."},
	)
)

// SegmentSize is the size at which a segment is closed under these values.
func SegmentSize(v *setting.Values) int64 {
	if n := SegmentBytesInternal.Of(v); n > 0 {
		return int64(n)
	}
	return int64(SegmentBytes.Of(v))
}

// FlushMode is when a record counts as written.
var FlushMode = durability.String(setting.String{
	Name: "log.flush.mode", Topic: "flush.mode", Default: FlushCommit, Choices: []string{FlushCommit, FlushInterval, FlushOS}, Dynamic: setting.ClusterWide,
	Kafka: "no such setting: it behaves as os does",
	Doc:   "commit: a produce is answered when its records are safe on disk (fsync, shared by all that wait). os: when the operating system has them, as Kafka does; a power cut can lose answered records. interval: as os, and what was written is synced within log.flush.interval.ms (for a topic: flush.ms; 1000 when it is not given), so that a power cut loses no more than that. log.flush.interval.messages=1 (for a topic: flush.messages=1) means commit, too, and os with log.flush.interval.ms means interval.",
})

// The values of log.flush.mode.
const (
	FlushCommit   = "commit"
	FlushInterval = "interval"
	FlushOS       = "os"
)

// Durability.
var (
	FlushMessages = durability.Long(setting.Long{
		Name: "log.flush.interval.messages", Topic: "flush.messages", Default: math.MaxInt64, Min: 1, Dynamic: setting.ClusterWide,
		Doc: "1 means log.flush.mode=commit. More, when answers do not wait for the disk: a sync is begun, and not waited for, as soon as so many records of a partition are written and not synced.",
	})
	FlushMillis = durability.Duration(setting.Duration{
		Name: "log.flush.interval.ms", Topic: "flush.ms", Synonyms: []string{"log.flush.scheduler.interval.ms"}, Null: true, Dynamic: setting.ClusterWide,
		Doc: "Longest time until the sync of a record that was written begins, unless log.flush.mode is commit; 0: at once. When it is not given: 1000 with log.flush.mode=interval, and with os the system decides.",
	})
	_ = durability.Duration(setting.Duration{
		Name: "log.flush.scheduler.interval.ms", Default: math.MaxInt64,
		Doc: "Stands in for log.flush.interval.ms where that is not given. Nobody looks around for logs that must be synced: each has its own moment.",
	})
)

// JournalBytes is how much of each disk its journal may take.
var JournalBytes = durability.Long(setting.Long{
	Name: "log.journal.bytes", Default: 128 << 20, Min: 0, Kafka: "no such setting",
	Doc: "Size in bytes of the journal of each folder of log.dirs: what is committed to many partitions at a time is made durable there with one fsync, and by each partition's own file later. Its files are made when they are first needed. 0: no journal, each partition's file is synced before the answer.",
})

// CommitOnAck reports whether, under these values, a produce is answered only when its
// records are safe on disk.
func CommitOnAck(v *setting.Values) bool {
	return FlushMode.Of(v) == FlushCommit || FlushMessages.Of(v) == 1
}

// Bounds of FlushEvery.
const (
	flushEvery = time.Second                // when the interval is not given
	flushNever = 100 * 365 * 24 * time.Hour // Kafka's default is as many milliseconds as there can be
)

// FlushEvery is within which time what was written is synced, under these values, when
// answers do not wait for that. Zero: whenever the system likes.
func FlushEvery(v *setting.Values) time.Duration {
	every := FlushMillis.Of(v)
	given := every >= 0 && every < flushNever
	switch {
	case CommitOnAck(v) || FlushMode.Of(v) == FlushOS && !given:
		return 0
	case !given:
		return flushEvery
	}
	return max(every, 1)
}

// FlushRecords is how many records of a partition that are written and not synced begin a
// sync, when answers do not wait for that. Zero: any number.
func FlushRecords(v *setting.Values) int64 {
	if n := FlushMessages.Of(v); !CommitOnAck(v) && n < math.MaxInt64 {
		return n
	}
	return 0
}

// Retention and compaction.
var (
	CleanupPolicy = retention.List(setting.List{
		Name: "log.cleanup.policy", Topic: "cleanup.policy", Default: []string{"delete"}, Choices: []string{"compact", "delete"}, Dynamic: setting.ClusterWide,
		Doc: "delete: old segments are removed. compact: the newest record of each key is kept. Empty: nothing is ever removed.",
	})
	RetentionAge = retention.Duration(setting.Duration{
		Name: "log.retention.ms", Topic: "retention.ms", Synonyms: []string{"log.retention.minutes", "log.retention.hours"}, Null: true,
		Min: -1, Dynamic: setting.ClusterWide, Kafka: "none for log.retention.ms",
		Doc: "Age at which a segment is removed. -1: never. Unset: log.retention.minutes, then log.retention.hours.",
	})
	_ = retention.Duration(setting.Duration{
		Name: "log.retention.minutes", Unit: time.Minute, Null: true, Min: math.MinInt32, Int: true,
		Doc: "The same in minutes, when log.retention.ms is not given.",
	})
	_ = retention.Duration(setting.Duration{
		Name: "log.retention.hours", Unit: time.Hour, Default: 168, Min: math.MinInt32, Int: true,
		Doc: "The same in hours, when neither log.retention.ms nor log.retention.minutes is given.",
	})
	RetentionBytes = retention.Long(setting.Long{
		Name: "log.retention.bytes", Topic: "retention.bytes", Default: -1, Min: math.MinInt64, Dynamic: setting.ClusterWide,
		Doc: "Size of a partition's log above which its oldest segments are removed. Negative: no limit.",
	})
	RetentionCheck = retention.Duration(setting.Duration{
		Name: "log.retention.check.interval.ms", Default: 300_000, Min: 1,
		Doc: "Time between two looks for segments to remove.",
	})

	CleanerEnable = compaction.Bool(setting.Bool{
		Name: "log.cleaner.enable", Default: true,
		Doc: "Compact the logs of topics with cleanup.policy=compact.",
	})
	DeleteRetention = compaction.Duration(setting.Duration{
		Name: "log.cleaner.delete.retention.ms", Topic: "delete.retention.ms", Default: 86_400_000, Dynamic: setting.ClusterWide,
		Doc: "Time that a deletion marker is kept in a compacted log.",
	})
	MinCompactionLag = compaction.Duration(setting.Duration{
		Name: "log.cleaner.min.compaction.lag.ms", Topic: "min.compaction.lag.ms", Dynamic: setting.ClusterWide,
		Doc: "Least age at which a record may be compacted.",
	})
	MaxCompactionLag = compaction.Duration(setting.Duration{
		Name: "log.cleaner.max.compaction.lag.ms", Topic: "max.compaction.lag.ms", Default: math.MaxInt64, Min: 1, Dynamic: setting.ClusterWide,
		Doc: "Age at which a log is compacted however little of it is out of date.",
	})
	MinDirtyRatio = compaction.Double(setting.Double{
		Name: "log.cleaner.min.cleanable.ratio", Topic: "min.cleanable.dirty.ratio", Default: 0.5, Max: 1, Dynamic: setting.ClusterWide,
		Doc: "Share of a log that must be out of date before it is compacted.",
	})
	CleanerMap = compaction.Long(setting.Long{
		Name: "log.cleaner.dedupe.buffer.size", Default: 134_217_728, Min: math.MinInt64, Dynamic: setting.ClusterWide,
		Doc: "Memory for the keys of all logs being compacted. It is shared by the folders of log.dirs, and only taken while there are so many keys.",
	})
	CleanerMapLoad = compaction.Double(setting.Double{
		Name: "log.cleaner.io.buffer.load.factor", Default: 0.9, Min: -math.MaxFloat64, Dynamic: setting.ClusterWide,
		Doc: "How full the buffer of keys may get.",
	})
	CleanerBytesPerSecond = compaction.Double(setting.Double{
		Name: "log.cleaner.io.max.bytes.per.second", Default: math.MaxFloat64, Min: -math.MaxFloat64, Dynamic: setting.ClusterWide,
		Doc: "Bytes a second that compaction may read and write.",
	})
	CleanerBackoff = compaction.Duration(setting.Duration{
		Name: "log.cleaner.backoff.ms", Default: 15_000, Dynamic: setting.ClusterWide,
		Doc: "Time to sleep when there is nothing to compact.",
	})
	_ = compaction.Table(setting.Ignored, cleanerOwn,
		setting.Row{Name: "log.cleaner.threads", Type: setting.TypeInt, Default: "1", Dynamic: setting.ClusterWide, Doc: "Workers that compact."},
		setting.Row{Name: "log.cleaner.io.buffer.size", Type: setting.TypeInt, Default: "524288", Dynamic: setting.ClusterWide, Doc: "Memory for reading and writing while compacting."},
	)
)

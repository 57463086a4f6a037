package engine

import (
	"math"
	"slices"

	"github.com/millrace/millrace/engine/commitlog"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/engine/partition"
	"github.com/millrace/millrace/engine/shard"
	"github.com/millrace/millrace/sdk/batch"
	"github.com/millrace/millrace/sdk/setting"
)

// topicSettings is what a topic's configuration means for its partitions.
func topicSettings(v *setting.Values) *shard.Settings {
	commit, every := config.CommitOnAck(v), config.FlushEvery(v)
	policy := config.CleanupPolicy.Of(v)
	deletes := slices.Contains(policy, "delete")
	records := config.FlushRecords(v)
	s := &shard.Settings{
		Commit:          commit,
		FlushEvery:      every,
		FlushRecords:    records,
		LogAppendTime:   config.TimestampType.Of(v) == "LogAppendTime",
		Compacted:       slices.Contains(policy, "compact"),
		Deletes:         deletes,
		MaxMessageBytes: config.MaxMessageBytes.Of(v),
		MaxBefore:       config.TimestampBeforeMax.Of(v),
		MaxAfter:        config.TimestampAfterMax.Of(v),
		Partition:       partition.Options{ProducerExpiry: config.ProducerExpiration.Of(v), Unsynced: !commit},
		Log: commitlog.Options{
			SegmentBytes: config.SegmentSize(v), SegmentAge: config.SegmentAge.Of(v),
			IndexInterval: config.IndexIntervalBytes.Of(v), IndexBytes: config.IndexBytes.Of(v),
			RetentionBytes: -1, RetentionAge: -1,
			DeleteDelay: config.DeleteDelay.Of(v), SyncOnRoll: commit || every > 0 || records > 0,
		},
	}
	if deletes {
		s.Log.RetentionBytes, s.Log.RetentionAge = config.RetentionBytes.Of(v), config.RetentionAge.Of(v)
	}
	if s.Compacted {
		s.Clean = commitlog.CleanOptions{DeleteRetention: config.DeleteRetention.Of(v), MinLag: config.MinCompactionLag.Of(v), MaxLag: config.MaxCompactionLag.Of(v)}
		s.DirtyRatio = config.MinDirtyRatio.Of(v)
		s.Log.SegmentAge = min(s.Log.SegmentAge, s.Clean.MaxLag) // what is in the active segment is not compacted
		if s.Clean.MaxLag == math.MaxInt64 {
			s.Clean.MaxLag = 0 // nothing is ever due
		}
	}
	s.Recompress, s.Codec, s.Level = compression(v)
	return s
}

// compression is the codec that batches are stored with, if not the producer's.
func compression(v *setting.Values) (recompress bool, c batch.Codec, level int) {
	switch config.Compression.Of(v) {
	case "uncompressed":
		return true, batch.None, 0
	case "gzip":
		return true, batch.Gzip, config.GzipLevel.Of(v)
	case "lz4":
		return true, batch.LZ4, config.LZ4Level.Of(v)
	case "zstd":
		return true, batch.Zstd, config.ZstdLevel.Of(v)
	case "snappy":
		return true, batch.Snappy, batch.DefaultLevel
	}
	return false, batch.None, 0
}

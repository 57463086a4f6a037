package config

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/sdk/setting"
)

// Settings of topics about copies and remote segments: known, so that CreateTopics
// and AlterConfigs take what Kafka takes, and without effect until there is more
// than one broker.
var (
	_ = replication.Bool(setting.Bool{
		Name: "unclean.leader.election.enable", Topic: "unclean.leader.election.enable", Dynamic: setting.ClusterWide,
		Effect: setting.Ignored, Note: alone,
		Doc: "Let a copy that is out of sync lead when no other is left, though records are lost.",
	})
	_ = replication.List(setting.List{
		Topic: "leader.replication.throttled.replicas", Check: checkThrottled, Allowed: throttledForm,
		Effect: setting.Ignored, Note: alone,
		Doc: "Copies that are slowed down on the leader's side, as partition:broker; * for all.",
	})
	_ = replication.List(setting.List{
		Topic: "follower.replication.throttled.replicas", Check: checkThrottled, Allowed: throttledForm,
		Effect: setting.Ignored, Note: alone,
		Doc: "Copies that are slowed down on the follower's side, as partition:broker; * for all.",
	})
	_ = replication.Table(setting.Ignored, alone,
		setting.Row{Name: "leader.replication.throttled.rate", Type: setting.TypeLong, Default: "9223372036854775807", Dynamic: setting.ClusterWide, Doc: "Bytes a second that a leader sends to throttled followers."},
		setting.Row{Name: "follower.replication.throttled.rate", Type: setting.TypeLong, Default: "9223372036854775807", Dynamic: setting.ClusterWide, Doc: "Bytes a second that throttled followers fetch."},
		setting.Row{Name: "replica.alter.log.dirs.io.max.bytes.per.second", Type: setting.TypeLong, Default: "9223372036854775807", Dynamic: setting.ClusterWide, Doc: "Bytes a second that move between data folders."},
	)

	// RemoteStorage is refused for a topic while there is no store.
	RemoteStorage = tiered.Bool(setting.Bool{
		Topic: "remote.storage.enable", Effect: setting.Refused, Note: noRemote,
		Doc: "Move old segments of the topic to a remote store.",
	})
	_ = tiered.Bool(setting.Bool{
		Topic: "remote.log.copy.disable", Effect: setting.Ignored, Note: noRemote,
		Doc: "Stop moving segments of the topic to the remote store.",
	})
	_ = tiered.Bool(setting.Bool{
		Topic: "remote.log.delete.on.disable", Effect: setting.Ignored, Note: noRemote,
		Doc: "Remove the topic's remote segments when remote storage is switched off.",
	})
	_ = tiered.Long(setting.Long{
		Name: "log.local.retention.bytes", Topic: "local.retention.bytes", Default: -2, Min: -2, Dynamic: setting.ClusterWide,
		Effect: setting.Ignored, Note: noRemote,
		Doc: "Size of a partition's local log above which segments that the remote store has are removed. -2: as retention.bytes.",
	})
	_ = tiered.Long(setting.Long{
		Name: "log.local.retention.ms", Topic: "local.retention.ms", Default: -2, Min: -2, Dynamic: setting.ClusterWide,
		Effect: setting.Ignored, Note: noRemote,
		Doc: "Age at which a local segment that the remote store has is removed. -2: as retention.ms.",
	})
)

const throttledForm = "[partitionId]:[brokerId],[partitionId]:[brokerId],..."

// checkThrottled takes "*" or words of the form partition:broker. Its complaint is
// Kafka's, but for the name of the setting, which Parse puts in front.
func checkThrottled(words []string) string {
	one := func(word string) bool {
		partition, broker, ok := strings.Cut(word, ":")
		return ok && isNumber(partition) && isNumber(broker)
	}
	if len(words) == 1 && words[0] == "*" || !slices.ContainsFunc(words, func(w string) bool { return !one(w) }) {
		return ""
	}
	return "must be the literal '*' or a list of replicas in the following format: " + throttledForm
}

func isNumber(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n >= 0 && n <= math.MaxInt32
}

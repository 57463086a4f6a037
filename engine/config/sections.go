// Package config declares every setting of a broker and of a topic, each once:
// name, type, default, limits and documentation (see sdk/setting for how). The
// names, types, defaults and limits are those of Apache Kafka 4.3; where a default
// differs, the declaration says so.
//
//	server.properties, --override ──Load──▶ Broker ──▶ *setting.Values ──▶ SegmentBytes.Of(values)
//	dynamic settings ───────────────With──▶    │
//	topic overrides ────────────────Topic──▶   ▼       what counts for one topic
//
// What counts for a topic: its own override, else the dynamic setting of this
// broker, else the dynamic default of all brokers, else server.properties, else
// the default.
//
// Three kinds of setting, told apart by the field Effect: a Honoured one does what
// its Doc says; an Ignored one is known and checked, and nothing reads it yet; a
// Refused one keeps the broker from starting, because a person who set it relies on
// protection that is not there.
package config

import "github.com/millrace/millrace/sdk/setting"

// Settings is every declaration. The sections are in the order of the reference page.
var (
	Settings = setting.NewSet()

	identity    = Settings.Section("Identity", "Who this broker is and where the cluster's metadata lives.")
	network     = Settings.Section("Network", "Where clients connect, and how much they may send at once.")
	threads     = Settings.Section("Threads", "How many goroutines do the work.")
	topics      = Settings.Section("Topics", "What a topic gets when its creator says nothing.")
	records     = Settings.Section("Records", "Which record batches a partition takes, and how they are kept.")
	storage     = Settings.Section("Log", "Segments, indexes and their files.")
	durability  = Settings.Section("Durability", "When a record counts as written.")
	retention   = Settings.Section("Retention", "How long records are kept.")
	compaction  = Settings.Section("Compaction", "Keeping only the newest record of each key.")
	groups      = Settings.Section("Groups and offsets", "Consumer groups and the offsets that they commit.")
	producers   = Settings.Section("Producers and transactions", "Idempotent producers, and transactions.")
	replication = Settings.Section("Replication", "Copies of a partition on several brokers.")
	tiered      = Settings.Section("Tiered storage", "Old segments in a remote store.")
	security    = Settings.Section("Security", "Who is connected and what they may do.")
	sharing     = Settings.Section("Share and streams groups", "Groups that share partitions between their members, and groups of Kafka Streams.")
	quorum      = Settings.Section("Quorum", "How controllers agree on the metadata log.")
	quotas      = Settings.Section("Quotas", "How fast clients may go.")
	plugins     = Settings.Section("Plugins", "What looks at records on their way in and out.")
	operation   = Settings.Section("Operation", "Logs, metrics and the admin address.")
	past        = Settings.Section("Older names", "Keys of older versions of Kafka, read so that an old file still works or says why it does not.")
)

package config

import "github.com/millrace/millrace/sdk/setting"

// Keys that Kafka 4 no longer has. Reading them costs nothing and saves somebody
// with an old file a search.
var (
	_ = past.Table(setting.Ignored, "there is no ZooKeeper here: this broker keeps the cluster's metadata in its own log, so the line is not needed and can go",
		setting.Row{Name: "zookeeper.connect", Type: setting.TypeString, Null: true, Doc: "Addresses of ZooKeeper."},
	)
	_ = past.Table(setting.Ignored, "there is no ZooKeeper here",
		setting.Row{Name: "zookeeper.connection.timeout.ms", Type: setting.TypeInt, Null: true, Doc: "Time limit to connect to ZooKeeper."},
		setting.Row{Name: "zookeeper.session.timeout.ms", Type: setting.TypeInt, Default: "18000", Doc: "Session timeout of ZooKeeper."},
		setting.Row{Name: "zookeeper.max.in.flight.requests", Type: setting.TypeInt, Default: "10", Doc: "Requests to ZooKeeper under way at once."},
		setting.Row{Name: "zookeeper.set.acl", Type: setting.TypeBoolean, Default: "false", Doc: "Protect what is written to ZooKeeper."},
		setting.Row{Name: "zookeeper.metadata.migration.enable", Type: setting.TypeBoolean, Default: "false", Doc: "Migrate from ZooKeeper."},
	)
	_ = past.Table(setting.Ignored, "write listeners=PLAINTEXT://host:port",
		setting.Row{Name: "port", Type: setting.TypeInt, Null: true, Doc: "Port to listen on."},
		setting.Row{Name: "host.name", Type: setting.TypeString, Null: true, Doc: "Host to listen on."},
	)
	_ = past.Table(setting.Ignored, "write advertised.listeners=PLAINTEXT://host:port",
		setting.Row{Name: "advertised.port", Type: setting.TypeInt, Null: true, Doc: "Port that clients are told."},
		setting.Row{Name: "advertised.host.name", Type: setting.TypeString, Null: true, Doc: "Host that clients are told."},
	)
	_ = past.Table(setting.Ignored, "Kafka 4 has dropped it, and so have we",
		setting.Row{Name: "inter.broker.protocol.version", Type: setting.TypeString, Null: true, Doc: "Version of the protocol between brokers."},
		setting.Row{Name: "log.message.format.version", Type: setting.TypeString, Null: true, Doc: "Version of the record format; it is always 2."},
		setting.Row{Name: "log.message.downconversion.enable", Type: setting.TypeBoolean, Default: "false", Doc: "Convert records for clients older than Kafka 0.11."},
		setting.Row{Name: "log.message.timestamp.difference.max.ms", Type: setting.TypeLong, Null: true, Doc: "Now log.message.timestamp.before.max.ms and log.message.timestamp.after.max.ms."},
		setting.Row{Name: "offsets.commit.required.acks", Type: setting.TypeShort, Default: "-1", Min: -1, Doc: "Copies that must have a commit of offsets."},
		setting.Row{Name: "controlled.shutdown.max.retries", Type: setting.TypeInt, Default: "3", Doc: "Tries to hand leadership over before a stop."},
		setting.Row{Name: "controlled.shutdown.retry.backoff.ms", Type: setting.TypeLong, Default: "5000", Doc: "Time between two such tries."},
		setting.Row{Name: "broker.id.generation.enable", Type: setting.TypeBoolean, Default: "true", Doc: "Let ZooKeeper choose broker.id."},
		setting.Row{Name: "reserved.broker.max.id", Type: setting.TypeInt, Default: "1000", Doc: "Greatest broker.id that a file may say."},
		setting.Row{Name: "control.plane.listener.name", Type: setting.TypeString, Null: true, Doc: "Listener of the controller's requests."},
		setting.Row{Name: "leader.imbalance.per.broker.percentage", Type: setting.TypeInt, Default: "10", Doc: "Share of leaders in the wrong place before they are moved back."},
	)

	_ = Settings.PartFamily(listenerPrefix, noListenerTLS, ofMechanism)
	_ = Settings.Family("rsm.config.", noRemote)
	_ = Settings.Family("rlmm.config.", noRemote)
	_ = Settings.Family("confluent.", "a setting of Confluent's own server")
)

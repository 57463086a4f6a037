package config

import (
	"math"

	"github.com/millrace/millrace/sdk/setting"
)

// Network.
var (
	ListenerList = network.List(setting.List{
		Name: "listeners", Default: []string{"PLAINTEXT://127.0.0.1:9092"}, Kafka: "PLAINTEXT://:9092",
		Allowed: "words of the form NAME://host:port",
		Doc:     "Addresses to listen on, as NAME://host:port. No host means every interface, port 0 any free port. Without TLS anybody who reaches an address may read and write everything.",
	})
	AdvertisedListenerList = network.List(setting.List{
		Name: "advertised.listeners", Null: true, Allowed: "words of the form NAME://host:port",
		Doc: "Addresses that clients are told to connect to. Unset: those of listeners, with this machine's host name where they name no host.",
	})
	ProtocolMap = network.String(setting.String{
		Name:    "listener.security.protocol.map",
		Default: "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
		Doc:     "Security protocol of each listener, as NAME:PROTOCOL. PLAINTEXT and SASL_PLAINTEXT can be served for now: a listener with SSL or SASL_SSL is refused.",
	})
	MaxConnections = network.Int(setting.Int{
		Name: "max.connections", Default: math.MaxInt32,
		Doc: "Connections open at once, over all listeners; a further one is closed at once.",
	})
	MaxConnectionsPerAddress = network.Int(setting.Int{
		Name: "max.connections.per.ip", Default: math.MaxInt32,
		Doc: "Connections open at once from one address.",
	})
	MaxConnectionsOverrides = network.String(setting.String{
		Name: "max.connections.per.ip.overrides", Effect: setting.Ignored, Note: "max.connections.per.ip counts for every address",
		Doc: "Exceptions to max.connections.per.ip, as address:count,address:count.",
	})
	MaxIdle = network.Duration(setting.Duration{
		Name: "connections.max.idle.ms", Default: 600_000, Min: math.MinInt64,
		Doc: "A connection that has been silent for so long is closed. Negative: never.",
	})
	RequestMaxBytes = network.Int(setting.Int{
		Name: "socket.request.max.bytes", Default: 100 << 20, Min: 1,
		Doc: "Largest request. A longer one closes its connection.",
	})
	SendBufferBytes = network.Int(setting.Int{
		Name: "socket.send.buffer.bytes", Default: 100 << 10, Min: math.MinInt32,
		Doc: "Send buffer of a socket (SO_SNDBUF). -1: the system's choice.",
	})
	ReceiveBufferBytes = network.Int(setting.Int{
		Name: "socket.receive.buffer.bytes", Default: -1, Kafka: "102400", Min: math.MinInt32,
		Doc: "Receive buffer of a socket (SO_RCVBUF). -1: the system's choice, which grows with what a connection sends, on Linux up to net.ipv4.tcp_rmem.",
	})
	QueuedMaxBytes = network.Long(setting.Long{
		Name: "queued.max.request.bytes", Default: -1, Min: math.MinInt64,
		Doc: "Bytes of requests received and not yet answered, over all connections. When they are spent, reading pauses. Not positive: 512 MiB (in Kafka: no limit).",
	})
	QueuedMaxRequests = network.Int(setting.Int{
		Name: "queued.max.requests", Default: 500, Min: 1, Effect: setting.Ignored, Note: "queued.max.request.bytes bounds what is queued",
		Doc: "Requests that wait for a request handler.",
	})
	DecompressionBytes = network.Long(setting.Long{
		Name: "decompression.buffer.bytes", Default: 64 << 20, Min: 1 << 20, Kafka: "no such setting",
		Doc: "Memory that all requests together may take for records which have to be held decompressed, or compressed anew (compression.type), or that interceptors see. When it is spent, others wait a few seconds for theirs and are then told to send again. Answers that interceptors have seen may hold half as much beside it, until they are read. Most records are only looked through, and take none.",
	})
	FetchMaxBytes = network.Int(setting.Int{
		Name: "fetch.max.bytes", Default: 55 << 20, Min: 1024,
		Doc: "Most bytes in the answer to one fetch; one batch passes even if it is larger.",
	})
	FetchSessionSlots = network.Int(setting.Int{
		Name: "max.incremental.fetch.session.cache.slots", Default: 1000,
		Doc: "Incremental fetch sessions kept at once.",
	})
	MaxRequestPartitions = network.Int(setting.Int{
		Name: "max.request.partition.size.limit", Default: 2000, Min: 1,
		Doc: "Most partitions in one answer to DescribeTopicPartitions.",
	})

	_ = network.Table(setting.Ignored, alone,
		setting.Row{Name: "inter.broker.listener.name", Type: setting.TypeString, Null: true, Doc: "Listener that brokers use among themselves."},
		setting.Row{Name: "security.inter.broker.protocol", Type: setting.TypeString, Default: "PLAINTEXT", Doc: "Security protocol that brokers use among themselves.",
			Choices: []string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}},
		setting.Row{Name: "controller.socket.timeout.ms", Type: setting.TypeInt, Default: "30000", Doc: "Time limit of connections from the controller to brokers."},
		setting.Row{Name: "request.timeout.ms", Type: setting.TypeInt, Default: "30000", Doc: "Time limit of requests that brokers send to each other."},
		setting.Row{Name: "socket.connection.setup.timeout.ms", Type: setting.TypeLong, Default: "10000", Doc: "Time limit to connect to another broker."},
		setting.Row{Name: "socket.connection.setup.timeout.max.ms", Type: setting.TypeLong, Default: "30000", Doc: "Greatest time limit to connect to another broker."},
	)
	_ = network.Table(setting.Ignored, noReader,
		setting.Row{Name: "socket.listen.backlog.size", Type: setting.TypeInt, Default: "50", Min: 1, Doc: "Connections that the system holds until they are accepted."},
		setting.Row{Name: "early.start.listeners", Type: setting.TypeList, Null: true, Doc: "Listeners opened before the authorizer is ready."},
	)
	_ = network.Table(setting.Ignored, noQuota,
		setting.Row{Name: "max.connection.creation.rate", Type: setting.TypeInt, Default: "2147483647", Dynamic: setting.ClusterWide, Doc: "New connections a second."},
	)
)

// Threads.
var (
	NetworkThreads = threads.Int(setting.Int{
		Name: "num.network.threads", Default: 3, Min: 1,
		Doc: "Event loops that read requests and write answers; at most one for each CPU is started.",
	})
	IOThreads = threads.Int(setting.Int{
		Name: "num.io.threads", Default: 8, Min: 1,
		Doc: "Shards: each owns some partitions of one data folder and does all their changes. Every one of log.dirs has its share of them, at least one.",
	})
	RecoveryThreads = threads.Int(setting.Int{
		Name: "num.recovery.threads.per.data.dir", Default: 2, Min: 1,
		Doc: "Logs of one data folder that are closed at the same time when the broker stops, eight at least. After an unclean stop a log is recovered when it is first used.",
	})
	BackgroundThreads = threads.Int(setting.Int{
		Name: "background.threads", Default: 10, Min: 1, Effect: setting.Ignored, Note: "retention and deletion need one worker for each data folder, which they have",
		Dynamic: setting.ClusterWide,
		Doc:     "Workers for retention, deletion and other work in the background.",
	})
	_ = threads.Table(setting.Ignored, alone,
		setting.Row{Name: "num.replica.fetchers", Type: setting.TypeInt, Default: "1", Min: 1, Dynamic: setting.ClusterWide, Doc: "Fetchers that copy partitions from each other broker."},
		setting.Row{Name: "num.replica.alter.log.dirs.threads", Type: setting.TypeInt, Null: true, Doc: "Workers that move partitions between data folders."},
	)
)

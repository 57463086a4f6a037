package client

import (
	"net"
	"strconv"
	"time"

	"github.com/millrace/millrace/sdk/setting"
)

// Keys are the settings of all clients.
var Keys = setting.NewSet()

// Common is what all clients have.
var Common = Keys.Section("All clients", "Settings that producers, consumers and Admin have in common.")

// Settings that all clients have.
var (
	BootstrapServers = Common.List(setting.List{
		Name: "bootstrap.servers", Check: checkServers, Allowed: "host:port, separated by commas",
		Doc: "Brokers to ask for all others. One that answers is enough.",
	})
	ClientID = Common.String(setting.String{
		Name: "client.id",
		Doc:  "What the client calls itself: brokers count and log by it.",
	})
	ClientRack = Common.String(setting.String{
		Name: "client.rack",
		Doc:  "Where the client runs, in the words of the brokers' broker.rack. Consumers read from replicas there; the partitioner `zone-aware` prefers leaders there.",
	})
	MetadataMaxAge = Common.Duration(setting.Duration{
		Name: "metadata.max.age.ms", Default: 300_000,
		Doc: "After how long brokers are asked again which topics, partitions and leaders there are, with or without a reason. Consumers, Admin and the engine `kgo` take 10 ms to an hour.",
	})
	RequestTimeout = Common.Duration(setting.Duration{
		Name: "request.timeout.ms", Default: 30_000, Min: 1, Int: true,
		Doc: "How long an answer may take before the connection is given up and the request is sent again or fails. Consumers, Admin and the engine `kgo` take 100 ms to 15 minutes.",
	})
	RetryBackoff = Common.Duration(setting.Duration{
		Name: "retry.backoff.ms", Default: 100,
		Doc: "How long to wait before what failed is tried again. It doubles with each try, up to `retry.backoff.max.ms`, and is spread by a fifth.",
	})
	RetryBackoffMax = Common.Duration(setting.Duration{
		Name: "retry.backoff.max.ms", Default: 1_000,
		Doc: "How long to wait at most before what failed is tried again.",
	})
	ReconnectBackoff = Common.Duration(setting.Duration{
		Name: "reconnect.backoff.ms", Default: 50,
		Doc: "How long to wait before a broker that could not be connected to is tried again. It doubles with each try, up to `reconnect.backoff.max.ms`, and is spread by a fifth.",
	})
	ReconnectBackoffMax = Common.Duration(setting.Duration{
		Name: "reconnect.backoff.max.ms", Default: 1_000,
		Doc: "How long to wait at most before a broker that could not be connected to is tried again.",
	})
	ConnectionSetup = Common.Duration(setting.Duration{
		Name: "socket.connection.setup.timeout.ms", Default: 10_000, Min: 1,
		Doc: "How long it may take to connect to a broker.",
	})
	ConnectionsMaxIdle = Common.Duration(setting.Duration{
		Name: "connections.max.idle.ms", Default: 540_000, Min: -1,
		Doc: "After how long a connection that nobody uses is closed; -1: never. Admin's default is 300000. Consumers, Admin and the engine `kgo` close it after 15 minutes at the latest, and say so when that is less than was asked for.",
	})
	SendBufferBytes = Common.Int(setting.Int{
		Name: "send.buffer.bytes", Default: 128 << 10, Min: -1,
		Doc: "SO_SNDBUF of connections; -1: the system's default.",
	})
	ReceiveBufferBytes = Common.Int(setting.Int{
		Name: "receive.buffer.bytes", Default: 64 << 10, Min: -1,
		Doc: "SO_RCVBUF of connections; -1: the system's default. A producer's default is 32768.",
	})
	SecurityProtocol = Common.String(setting.String{
		Name: "security.protocol", Default: "PLAINTEXT", Choices: []string{"PLAINTEXT", saslPlaintext}, IgnoreCase: true,
		Absent: setting.Absent{Choices: []string{"SSL", "SASL_SSL"},
			Why: "there is no TLS in this client yet: use PLAINTEXT or SASL_PLAINTEXT, over a network or a tunnel that you trust"},
		Doc: "How to speak to brokers: `SASL_PLAINTEXT` proves to them who the client is. There is no TLS in this client; do not send what must stay secret over a network that you do not trust.",
	})
	SaslMechanism = Common.String(setting.String{
		Name: "sasl.mechanism", Default: "GSSAPI",
		Doc: "How to prove to brokers who the client is: `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`. The default, which is Kafka's, this client does not have.",
	})
	SaslLogin = Common.Password(setting.String{
		Name: "sasl.jaas.config", Null: true,
		Doc: "Who the client is, in Kafka's form: `org.apache.kafka.common.security.scram.ScramLoginModule required username=\"alice\" password=\"secret\";`, or the same with `plain.PlainLoginModule`.",
	})
	InterceptorClasses = Common.List(setting.List{
		Name: "interceptor.classes",
		Doc:  "Interceptors of producers and consumers that see single records, by the names that they are registered under, or that `plugin.<name>.type` stands under, in the order in which they see records.",
	})
	BatchInterceptors = Common.List(setting.List{
		Name: "interceptors",
		Doc:  "Names of interceptors that see whole batches, as a broker's do (`interceptors` there): a producer's before it sends them, a consumer's once they were fetched. What each of them is stands under `plugin.<name>.`, as for a broker. Producers need `client.engine=native` for them. Kafka has no such setting.",
	})
)

var (
	_ = Common.Table(setting.Ignored, "this client counts nothing by itself; use interceptors",
		setting.Row{Name: "metric.reporters", Type: setting.TypeList, Doc: "Java classes that see metrics."},
		setting.Row{Name: "metrics.num.samples", Type: setting.TypeInt, Default: "2", Doc: "Samples of a metric."},
		setting.Row{Name: "metrics.recording.level", Type: setting.TypeString, Default: "INFO", Doc: "Which metrics are kept."},
		setting.Row{Name: "metrics.sample.window.ms", Type: setting.TypeLong, Default: "30000", Doc: "Length of a sample."},
		setting.Row{Name: "enable.metrics.push", Type: setting.TypeBoolean, Default: "true", Doc: "Whether metrics are pushed to brokers that ask for them."},
	)
	_ = Common.Table(setting.Ignored, "every address that a name has is tried in turn",
		setting.Row{Name: "client.dns.lookup", Type: setting.TypeString, Default: "use_all_dns_ips", Doc: "How names of brokers become addresses."},
	)
	_ = Common.Table(setting.Ignored, "the bootstrap servers are asked whenever no other broker answers",
		setting.Row{Name: "metadata.recovery.strategy", Type: setting.TypeString, Default: "rebootstrap", Doc: "What to do when no broker answers."},
		setting.Row{Name: "metadata.recovery.rebootstrap.trigger.ms", Type: setting.TypeLong, Default: "300000", Doc: "After how long that is done."},
	)
	_ = Common.Table(setting.Ignored, "the wait for a connection does not grow",
		setting.Row{Name: "socket.connection.setup.timeout.max.ms", Type: setting.TypeLong, Default: "30000", Doc: "How long it may take to connect at most."},
	)
	_ = Keys.Family("ssl.", "there is no TLS in this client")
	_ = Keys.Family("sasl.", "of SASL this client knows sasl.mechanism and sasl.jaas.config")
)

// checkServers says what is wrong with a list of brokers.
func checkServers(servers []string) string {
	for _, s := range servers {
		host, port, err := net.SplitHostPort(s)
		number, wrong := strconv.ParseUint(port, 10, 16)
		if err != nil || wrong != nil || number == 0 || host == "" {
			return "each must be of the form host:port"
		}
	}
	return ""
}

// backoff is how long to wait before another try. Spread is a random number in [0, 1).
func backoff(first, most time.Duration, tries int, spread float64) time.Duration {
	wait := first
	for range min(max(tries-1, 0), 30) {
		if wait = 2 * wait; wait >= most {
			break
		}
	}
	wait = min(wait, max(first, most))
	return time.Duration(float64(wait) * (0.8 + 0.4*spread))
}

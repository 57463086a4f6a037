package config

import "github.com/millrace/millrace/sdk/setting"

// Operation: settings of ours, which Kafka has in other places (JMX, log4j).
var (
	AdminListener = operation.String(setting.String{
		Name: "admin.listener", Default: "127.0.0.1:9644", Kafka: "no such setting",
		Doc: "Address host:port of /metrics and /debug/pprof. It has no access control: keep it on loopback. Empty: off. When it is not given and the port is taken, a free port of the same host.",
	})
	GCPercent = operation.Int(setting.Int{
		Name: "gc.percent", Default: 200, Min: 1, Kafka: "no such setting",
		Doc: "By how much the heap may grow between two garbage collections, in percent. The broker's steady work makes no garbage, but plugins and recompression do. GOGC in the environment wins.",
	})
	ProfileInterval = operation.Duration(setting.Duration{
		Name: "profile.interval.ms", Default: 60_000, Kafka: "no such setting",
		Doc: "How often the broker takes a profile of its own processor time, for `millrace pprof --ring`. 0: never. Who asks admin.listener for one goes first.",
	})
	ProfileDuration = operation.Duration(setting.Duration{
		Name: "profile.duration.ms", Default: 10_000, Min: 100, Kafka: "no such setting",
		Doc: "For how long a profile is taken.",
	})
	ProfileKeepFiles = operation.Int(setting.Int{
		Name: "profile.keep.files", Default: 360, Min: 1, Kafka: "no such setting",
		Doc: "How many profiles are kept, in the folder profiles of the first of log.dirs; the oldest go.",
	})
	ProfileKeepBytes = operation.Long(setting.Long{
		Name: "profile.keep.bytes", Default: 64 << 20, Min: 1 << 20, Kafka: "no such setting",
		Doc: "How many bytes they may take together.",
	})
	LoggerLevel = operation.String(setting.String{
		Name: "logger.level", Default: "info", Choices: []string{"debug", "info", "warn", "error"}, IgnoreCase: true, Kafka: "log4j2.yaml",
		Doc: "Least level of what is logged.",
	})
	LoggerFormat = operation.String(setting.String{
		Name: "logger.format", Default: "text", Choices: []string{"text", "json"}, IgnoreCase: true, Kafka: "log4j2.yaml",
		Doc: "Form of the log lines.",
	})
	_ = operation.Table(setting.Ignored, "metrics are at /metrics of admin.listener",
		setting.Row{Name: "metric.reporters", Type: setting.TypeList, Default: "org.apache.kafka.common.metrics.JmxReporter", Dynamic: setting.ClusterWide, Doc: "Classes that report metrics."},
		setting.Row{Name: "metrics.num.samples", Type: setting.TypeInt, Default: "2", Min: 1, Doc: "Samples that a metric is made from."},
		setting.Row{Name: "metrics.recording.level", Type: setting.TypeString, Default: "INFO", Doc: "Level of detail of metrics."},
		setting.Row{Name: "metrics.sample.window.ms", Type: setting.TypeLong, Default: "30000", Min: 1, Doc: "Time of one sample."},
		setting.Row{Name: "kafka.metrics.reporters", Type: setting.TypeList, Doc: "Classes that report Yammer metrics."},
		setting.Row{Name: "kafka.metrics.polling.interval.secs", Type: setting.TypeInt, Default: "10", Min: 1, Doc: "Time between two reports of Yammer metrics."},
		setting.Row{Name: "telemetry.max.bytes", Type: setting.TypeInt, Default: "1048576", Min: 1, Doc: "Most bytes of metrics that a client may push at once."},
	)
	_ = operation.Table(setting.Ignored, noReader,
		setting.Row{Name: "config.providers", Type: setting.TypeList, Dynamic: setting.ClusterWide, Doc: "Classes that look up values written as ${...}."},
		setting.Row{Name: "producer.purgatory.purge.interval.requests", Type: setting.TypeInt, Default: "1000", Doc: "How often finished produces are purged."},
		setting.Row{Name: "fetch.purgatory.purge.interval.requests", Type: setting.TypeInt, Default: "1000", Doc: "How often finished fetches are purged."},
		setting.Row{Name: "delete.records.purgatory.purge.interval.requests", Type: setting.TypeInt, Default: "1", Doc: "How often finished deletions of records are purged."},
		setting.Row{Name: "server.max.startup.time.ms", Type: setting.TypeLong, Default: "9223372036854775807", Doc: "Longest time that a start may take."},
		setting.Row{Name: "unstable.api.versions.enable", Type: setting.TypeBoolean, Default: "false", Doc: "Offer versions of requests that are not final."},
		setting.Row{Name: "unstable.feature.versions.enable", Type: setting.TypeBoolean, Default: "false", Doc: "Offer features that are not final."},
	)
)

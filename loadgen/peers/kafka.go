package peers

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// KafkaVersion is the Apache Kafka that pom.xml names.
const KafkaVersion = "4.3.1"

//go:embed pom.xml
var pom []byte

// KafkaOptions say where the jars are and how the broker is started.
type KafkaOptions struct {
	Libs     string            // folder of jars. Empty: see KafkaLibs
	Dir      string            // folder for data and output; made when absent
	Heap     string            // of the JVM. Empty: 1G, as Kafka's own script has it
	Settings map[string]string // of the broker, beyond its defaults
}

// The environment variables that say where the jars are: their folder, or a folder for
// everything that was downloaded once.
const (
	LibsVariable  = "MILLRACE_KAFKA_LIBS"
	CacheVariable = "MILLRACE_CACHE"
)

// KafkaLibs is where the jars are looked for, and put when they are not there: what the
// environment says, else a folder in the user's cache.
func KafkaLibs() (string, error) {
	if dir := os.Getenv(LibsVariable); dir != "" {
		return dir, nil
	}
	name := "kafka-" + KafkaVersion + "-broker"
	if dir := os.Getenv(CacheVariable); dir != "" {
		return filepath.Join(dir, name), nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a folder for Kafka's jars (or set %s): %w", LibsVariable, err)
	}
	return filepath.Join(cache, "millrace", name), nil
}

// InstallKafka fetches the jars from Maven Central (about 90 MB, needs mvn) unless they
// are there.
func InstallKafka(ctx context.Context, libs string) error {
	// The jars of the broker come last in the alphabet of what is needed; the mark says
	// that the whole of an earlier copy arrived.
	if jars, _ := filepath.Glob(filepath.Join(libs, "kafka_2.13-*.jar")); len(jars) > 0 {
		if _, err := os.Stat(filepath.Join(libs, "partial")); os.IsNotExist(err) {
			return nil
		}
	}
	if err := os.MkdirAll(libs, 0o755); err != nil {
		return fmt.Errorf("install Kafka: %w", err)
	}
	partial := filepath.Join(libs, "partial")
	if err := os.WriteFile(partial, nil, 0o644); err != nil {
		return fmt.Errorf("install Kafka: %w", err)
	}
	project := filepath.Join(libs, "pom.xml")
	if err := os.WriteFile(project, pom, 0o644); err != nil {
		return fmt.Errorf("install Kafka: %w", err)
	}
	command := exec.CommandContext(ctx, "mvn", "-q", "-B", "-f", project, "dependency:copy-dependencies", "-DoutputDirectory="+libs)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("install Kafka with mvn into %s: %w\n%s", libs, err, output)
	}
	if err := os.Remove(partial); err != nil {
		return fmt.Errorf("install Kafka: %w", err)
	}
	return nil
}

// jvm are the options of Kafka's own start script.
var jvm = []string{
	"-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
	"-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true",
}

const log4j = `<Configuration status="WARN"><Appenders><Console name="E" target="SYSTEM_ERR"><PatternLayout pattern="[%d] %p %m (%c)%n"/></Console></Appenders>
<Loggers><Root level="WARN"><AppenderRef ref="E"/></Root></Loggers></Configuration>
`

// StartKafka formats a folder and starts one node, controller and broker in one process,
// with Kafka's defaults. Install it first.
func StartKafka(ctx context.Context, o KafkaOptions) (*Broker, error) {
	libs, err := filepath.Abs(o.Libs)
	if err != nil {
		return nil, fmt.Errorf("start kafka: %w", err)
	}
	b := &Broker{Name: "kafka", Dir: o.Dir, Config: o.Settings}
	properties, err := prepareKafka(b, o)
	if err != nil {
		return nil, fmt.Errorf("start kafka: %w", err)
	}
	java := func(heap, class string, arguments ...string) *exec.Cmd {
		all := slices.Concat([]string{"-Xmx" + heap, "-Xms" + heap}, jvm, []string{
			"-Dlog4j2.configurationFile=" + filepath.Join(o.Dir, "log4j2.xml"), "-Dkafka.logs.dir=" + o.Dir, "-cp", filepath.Join(libs, "*"), class,
		}, arguments)
		return exec.CommandContext(context.WithoutCancel(ctx), "java", all...)
	}
	format := java("256M", "kafka.tools.StorageTool", "format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", properties)
	if output, err := format.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("format Kafka's folder: %w\n%s", err, output)
	}
	heap := o.Heap
	if heap == "" {
		heap = "1G"
	}
	return start(ctx, b, java(heap, "kafka.Kafka", properties))
}

// prepareKafka writes the configuration of one node.
func prepareKafka(b *Broker, o KafkaOptions) (properties string, err error) {
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return "", err
	}
	ports, err := freePorts(2)
	if err != nil {
		return "", err
	}
	b.Address = fmt.Sprintf("127.0.0.1:%d", ports[0])
	var text strings.Builder
	fmt.Fprintf(&text, `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:%[2]d
listeners=PLAINTEXT://127.0.0.1:%[1]d,CONTROLLER://127.0.0.1:%[2]d
advertised.listeners=PLAINTEXT://127.0.0.1:%[1]d
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=%[3]s
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
`, ports[0], ports[1], filepath.Join(o.Dir, "data"))
	for key, value := range o.Settings {
		fmt.Fprintf(&text, "%s=%s\n", key, value)
	}
	if err := os.WriteFile(filepath.Join(o.Dir, "log4j2.xml"), []byte(log4j), 0o644); err != nil {
		return "", err
	}
	properties = filepath.Join(o.Dir, "server.properties")
	return properties, os.WriteFile(properties, []byte(text.String()), 0o644)
}

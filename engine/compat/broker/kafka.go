package broker

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// KafkaVersion is the Apache Kafka that ours is held against.
const KafkaVersion = "4.3.1"

// Kafka is a real Apache Kafka: one node, controller included, in KRaft mode.
type Kafka struct {
	ClassPath string
	Logging   string   // log4j2 configuration
	Dir       string   // for data and logs
	Settings  []string // more key=value
	Guarded   string   // address of a listener SASL_PLAINTEXT, see Guard; empty: none

	process *process
}

func (k *Kafka) Name() string { return "Apache Kafka " + KafkaVersion }

// Start implements Target. Each proxy gets a listener of its own that advertises the proxy.
func (k *Kafka) Start(ctx context.Context, behind map[string]string) (string, map[string]string, error) {
	address, err := FreeAddress()
	if err != nil {
		return "", nil, err
	}
	through := map[string]string{}
	for name := range behind {
		if through[name], err = FreeAddress(); err != nil {
			return "", nil, err
		}
	}
	r, err := k.Serve(ctx, address, behind, through)
	if err != nil {
		return "", nil, err
	}
	k.process = r.process
	return address, through, nil
}

// Serve runs the node at an address, on the data that it left there before, if any, and waits until it answers.
func (k *Kafka) Serve(ctx context.Context, address string, behind, through map[string]string) (*Running, error) {
	settings, err := k.configure(address, behind, through)
	if err != nil {
		return nil, err
	}
	if err := k.format(ctx, settings); err != nil {
		return nil, err
	}
	p, err := launch(filepath.Join(k.Dir, "server.log"), "java", "-Xmx1G", "-XX:+UseG1GC", "-Djava.awt.headless=true",
		"-Dlog4j2.configurationFile="+k.Logging, "-cp", k.ClassPath, "kafka.Kafka", settings)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	if err := p.ready(ctx, address); err != nil {
		p.kill()
		return nil, err
	}
	return &Running{p}, nil
}

// format makes the folder for the data, unless an earlier life did.
func (k *Kafka) format(ctx context.Context, settings string) error {
	if _, err := os.Stat(filepath.Join(k.Dir, "data", "meta.properties")); err == nil {
		return nil
	}
	format := exec.CommandContext(ctx, "java", "-Xmx256M", "-XX:TieredStopAtLevel=1", "-Dlog4j2.configurationFile="+k.Logging,
		"-cp", k.ClassPath, "kafka.tools.StorageTool", "format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", settings)
	if output, err := format.CombinedOutput(); err != nil {
		return fmt.Errorf("format Kafka's storage: %w\n%s", err, output)
	}
	return nil
}

// configure writes server.properties and answers its path.
func (k *Kafka) configure(address string, behind, through map[string]string) (string, error) {
	controller, err := FreeAddress()
	if err != nil {
		return "", err
	}
	listeners := []string{"PLAINTEXT://" + address, "CONTROLLER://" + controller}
	advertised := []string{"PLAINTEXT://" + address}
	protocols := []string{"PLAINTEXT:PLAINTEXT", "CONTROLLER:PLAINTEXT"}
	if k.Guarded != "" {
		listeners = append(listeners, "SASL_PLAINTEXT://"+k.Guarded)
		advertised = append(advertised, "SASL_PLAINTEXT://"+k.Guarded)
		protocols = append(protocols, "SASL_PLAINTEXT:SASL_PLAINTEXT")
	}
	names := make([]string, 0, len(behind))
	for name := range behind {
		names = append(names, name)
	}
	sort.Strings(names)
	for i, name := range names {
		listener := fmt.Sprintf("DROPS%d", i)
		listeners = append(listeners, listener+"://"+through[name])
		advertised = append(advertised, listener+"://"+behind[name])
		protocols = append(protocols, listener+":PLAINTEXT")
	}
	text := strings.Join(append([]string{
		"process.roles=broker,controller",
		"node.id=1",
		"controller.quorum.voters=1@" + controller,
		"controller.listener.names=CONTROLLER",
		"inter.broker.listener.name=PLAINTEXT",
		"listeners=" + strings.Join(listeners, ","),
		"advertised.listeners=" + strings.Join(advertised, ","),
		"listener.security.protocol.map=" + strings.Join(protocols, ","),
		"log.dirs=" + filepath.Join(k.Dir, "data"),
		"offsets.topic.replication.factor=1",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
		"share.coordinator.state.topic.replication.factor=1",
		"share.coordinator.state.topic.min.isr=1",
		"group.initial.rebalance.delay.ms=0",
		"group.consumer.min.heartbeat.interval.ms=300",
		"group.consumer.heartbeat.interval.ms=300",
		"transaction.abort.timed.out.transaction.cleanup.interval.ms=1000",
		// A node that was killed is let in again when its last life is missed.
		"broker.session.timeout.ms=1500",
		"broker.heartbeat.interval.ms=300",
	}, append(k.Settings, "")...), "\n")
	path := filepath.Join(k.Dir, "server.properties")
	if err := os.MkdirAll(k.Dir, 0o755); err != nil {
		return "", fmt.Errorf("configure Kafka: %w", err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return "", fmt.Errorf("configure Kafka: %w", err)
	}
	return path, nil
}

// Stop implements Target.
func (k *Kafka) Stop() error {
	if k.process == nil {
		return nil
	}
	p := k.process
	k.process = nil
	return p.stop(60 * time.Second)
}

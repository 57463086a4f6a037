package limits

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/loadgen/peers"
	built "github.com/millrace/millrace/plugins/wasm/testdata"
	"github.com/millrace/millrace/results"
)

// Figures of sides that have plugins.
const (
	inPlugin = "time in plugins" // of calls, for each record that they were shown
	swaps    = "reloads"         // of side.Beside reload
)

var pluginFigures = []string{inPlugin, swaps}

// What a side may do to a broker beside the workload.
const (
	besideReload  = "reload"  // plugin cards becomes another module, twice a second
	besideEndless = "endless" // somebody produces to a topic whose plugin never ends by itself
	besideProduce = "produce" // somebody produces to a topic without plugins in the same way
)

// modulesFolder, in a setting of a side, stands for a folder with the modules below.
const modulesFolder = "${modules}"

// modules are WebAssembly plugins: the mask of the Rust crate, the same in another file with
// another sum, and one that loops for ever.
func modules() map[string][]byte {
	again := append(bytes.Clone(built.Mask), 0, 6, 5, 'a', 'g', 'a', 'i', 'n') // a custom section
	return map[string][]byte{"mask.wasm": built.Mask, "again.wasm": again, "endless.wasm": built.Endless}
}

// placed is a setting with the folder of modules in it, which is made when one asks for it.
func placed(value, dir string) (string, error) {
	if !strings.Contains(value, modulesFolder) {
		return value, nil
	}
	folder := placedIn(dir)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", fmt.Errorf("make a folder for plugins: %w", err)
	}
	for name, module := range modules() {
		if err := os.WriteFile(filepath.Join(folder, name), module, 0o644); err != nil {
			return "", fmt.Errorf("place a plugin: %w", err)
		}
	}
	return strings.ReplaceAll(value, modulesFolder, folder), nil
}

func placedIn(dir string) string { return filepath.Join(dir, "modules") }

// unplaced are the settings of a broker as its side has them, for a result: the folder is
// another one each time, and gone.
func unplaced(settings map[string]string, dir string) map[string]string {
	settings = maps.Clone(settings)
	for key, value := range settings {
		settings[key] = strings.ReplaceAll(value, placedIn(dir), modulesFolder)
	}
	return settings
}

// shown is what the plugins of a broker have been shown so far, and how long that took.
type shown struct{ records, seconds float64 }

func shownNow(ctx context.Context, b *peers.Broker) (s shown, err error) {
	all, err := peers.Metrics(ctx, b.Admin)
	if err != nil {
		return s, err
	}
	for _, m := range all["millrace_plugin_records_in_total"].GetMetric() {
		s.records += m.GetCounter().GetValue()
	}
	for _, m := range all["millrace_plugin_seconds"].GetMetric() {
		s.seconds += m.GetHistogram().GetSampleSum()
	}
	return s, nil
}

// hasPlugins reports whether the broker of the side has any.
func (t *trial) hasPlugins() bool { return t.side.Settings["plugins"] != "" }

// took is the figure of what plugins were shown since before, if they were.
func (t *trial) took(ctx context.Context, before shown) error {
	if !t.hasPlugins() {
		return nil
	}
	now, err := shownNow(ctx, t.broker)
	if records := now.records - before.records; err == nil && records > 0 {
		t.figure(inPlugin, results.Seconds, (now.seconds-before.seconds)/records)
	}
	return err
}

// disturb does what the side wants done beside its workload, until end is called.
func (t *trial) disturb(ctx context.Context) (end func() error, err error) {
	act := map[string]func(context.Context, *kadm.Client) error{besideReload: t.reload, besideEndless: t.endless, besideProduce: t.produce}[t.side.Beside]
	if act == nil {
		return func() error { return nil }, nil
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(t.broker.Address))
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	var working sync.WaitGroup
	var failed error
	working.Go(func() {
		if failed = act(ctx, kadm.NewClient(client)); failed != nil && ctx.Err() != nil {
			failed = nil // it was told to end
		}
	})
	return func() error {
		cancel()
		working.Wait()
		client.Close()
		return failed
	}, nil
}

// reload has plugin cards be one module and then the other, until ctx ends.
func (t *trial) reload(ctx context.Context, admin *kadm.Client) error {
	count := 0
	defer func() { t.figure(swaps, results.Pure, float64(count)) }()
	for again := time.NewTicker(500 * time.Millisecond); ; count++ {
		select {
		case <-ctx.Done():
			again.Stop()
			return nil
		case <-again.C:
		}
		name := []string{"again.wasm", "mask.wasm"}[count%2]
		answers, err := admin.AlterBrokerConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "plugin.cards.path", Value: &name}})
		for _, a := range answers {
			err = errors.Join(err, a.Err)
		}
		if err != nil {
			return fmt.Errorf("reload a plugin: %w", err)
		}
	}
}

// endless produces to a topic whose interceptor is cut off each time, until ctx ends. That
// its records are refused is what is wanted.
func (t *trial) endless(ctx context.Context, admin *kadm.Client) error {
	chain := "endless"
	return t.oneByOne(ctx, admin, map[string]*string{"interceptors.produce": &chain}, cutOff)
}

// produce does the same to a topic that takes what it sends.
func (t *trial) produce(ctx context.Context, admin *kadm.Client) error {
	return t.oneByOne(ctx, admin, nil, func(answered error) error { return answered })
}

// oneByOne produces one record after the other to a topic of those settings, until ctx ends or what
// became of one is not what is wanted.
func (t *trial) oneByOne(ctx context.Context, admin *kadm.Client, settings map[string]*string, wanted func(error) error) error {
	topic := t.nextTopic()
	if _, err := admin.CreateTopic(ctx, 1, 1, settings, topic); err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(t.broker.Address), kgo.DefaultProduceTopic(topic), kgo.DisableIdempotentWrite(), kgo.RecordRetries(0))
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	defer client.Close()
	for ctx.Err() == nil {
		if err := wanted(client.ProduceSync(ctx, &kgo.Record{Value: make([]byte, 1000)}).FirstErr()); err != nil {
			return err
		}
	}
	return nil
}

// cutOff takes what became of a record whose interceptor never ends: the broker's word that it has
// failed is what is wanted, also once it is switched off.
func cutOff(answered error) error {
	switch {
	case answered == nil:
		return errors.New("a record got past a plugin that never ends")
	case errors.Is(answered, kerr.PolicyViolation):
		return nil
	default:
		return fmt.Errorf("produce to a plugin that never ends: %w", answered)
	}
}

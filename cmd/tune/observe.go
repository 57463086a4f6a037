package tune

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/google/pprof/profile"
	dto "github.com/prometheus/client_model/go"

	"github.com/millrace/millrace/cmd/tuning"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/loadgen"
	"github.com/millrace/millrace/loadgen/peers"
	"github.com/millrace/millrace/results"
	"github.com/millrace/millrace/sdk/setting"
)

// observe runs the workload once with all profiles and says what they show.
func (l *lab) observe(ctx context.Context, s side) (o *tuning.Observation, err error) {
	w, err := l.read(s)
	if err != nil {
		return nil, err
	}
	b, end, err := l.start(ctx, s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	before, err := scrape(ctx, b.Admin)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	r, err := b.Run(ctx, loadgen.Options{
		Workload: w, Suite: "tune", System: "observed",
		Profiling: loadgen.Profiling{Admin: b.Admin, Kinds: []string{loadgen.ProfileCPU, loadgen.ProfileMutex, loadgen.ProfileBlock}, Dir: l.runs()},
	})
	if err != nil {
		return nil, err
	}
	took := time.Since(began)
	after, err := scrape(ctx, b.Admin)
	if err != nil {
		return nil, err
	}
	if _, err := results.Write(l.runs(), r); err != nil {
		return nil, err
	}
	o = &tuning.Observation{Environment: s.Environment, Cores: runtime.NumCPU()}
	if err := l.profiles(o, r); err != nil {
		return nil, err
	}
	if err := settings(o, s); err != nil {
		return nil, err
	}
	clients(o, w)
	figures(o, before, after, took)
	return o, nil
}

// profiles ranks the profiles of all phases.
func (l *lab) profiles(o *tuning.Observation, r *results.Result) error {
	for kind, into := range map[string]*tuning.Ranking{loadgen.ProfileCPU: &o.CPU, loadgen.ProfileMutex: &o.Mutex, loadgen.ProfileBlock: &o.Block} {
		var all []*profile.Profile
		for _, name := range r.Profiles {
			if !strings.HasSuffix(name, "-"+kind+".pb.gz") {
				continue
			}
			data, err := os.ReadFile(filepath.Join(l.runs(), name))
			if err != nil {
				return fmt.Errorf("read the %s profile: %w", kind, err)
			}
			p, err := profile.ParseData(data)
			if err != nil {
				return fmt.Errorf("read the %s profile: %w", kind, err)
			}
			all = append(all, p)
		}
		if len(all) == 0 {
			continue
		}
		merged, err := profile.Merge(all)
		if err != nil {
			return fmt.Errorf("add up the %s profiles: %w", kind, err)
		}
		*into = tuning.Rank(merged)
	}
	return nil
}

// settings are what counts for the broker, and the plugins that they name.
func settings(o *tuning.Observation, s side) error {
	var own []string
	for key, value := range s.Settings {
		own = append(own, key+"="+value)
	}
	b, err := config.Parse("", "", own)
	if err != nil {
		return err
	}
	o.Settings, o.Plugins = map[string]string{}, map[string][]string{}
	for _, d := range config.Settings.All() {
		if text, set := textOf(b.Values, d); set {
			o.Settings[d.Name] = text
		}
	}
	o.Plugins["interceptors"] = names(o.Settings["interceptors"])
	return nil
}

// names are those of a list in a setting.
func names(list string) (all []string) {
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" {
			all = append(all, name)
		}
	}
	return all
}

// textOf is the value of a setting that counts, as it is written.
func textOf(v *setting.Values, d *setting.Declaration) (string, bool) {
	given := v.Given(d)
	if len(given) == 0 {
		return "", false
	}
	return given[0].Text, true
}

// clients is what the workload asks of its topics, and of its producers and consumers: those of the
// first phase that is reported and has some.
func clients(o *tuning.Observation, w *loadgen.Workload) {
	o.TopicConfig = w.Config
	for _, key := range tuning.TopicLists {
		o.Plugins[key] = names(w.Config[key])
	}
	first := true
	for i := range w.Phases {
		p := &w.Phases[i]
		if !p.Discard && p.Do != results.Produce && o.FetchBytes == 0 {
			o.FetchBytes, o.PartitionBytes = p.FetchBytes, p.PartitionBytes
		}
		if p.Discard || p.Do == results.Consume {
			continue
		}
		if first {
			first = false
			o.Batch, o.LingerMillis, o.InFlight = p.Batch, float64(p.Linger)/1e6, p.InFlight
			o.ByRecord, o.Codec = p.Arrival == loadgen.ArriveRecord, p.Codec.String()
		}
		o.AsFastAsGoes = o.AsFastAsGoes || p.Rate == 0
	}
}

// metrics are those of a broker at one moment.
type metrics map[string]*dto.MetricFamily

func scrape(ctx context.Context, admin string) (metrics, error) { return peers.Metrics(ctx, admin) }

// sum adds up a metric over all labels but those given, which must be so.
func (m metrics) sum(name string, labels ...string) (total float64) {
	family := m[name]
	if family == nil {
		return 0
	}
	for _, one := range family.Metric {
		if fits(one, labels) {
			total += one.GetCounter().GetValue() + one.GetGauge().GetValue() + one.GetUntyped().GetValue()
		}
	}
	return total
}

func fits(m *dto.Metric, labels []string) bool {
	for i := 0; i+1 < len(labels); i += 2 {
		value := "" // a label that is not there is empty
		for _, l := range m.Label {
			if l.GetName() == labels[i] {
				value = l.GetValue()
			}
		}
		if value != labels[i+1] {
			return false
		}
	}
	return true
}

// figures is what the metrics of before and after say.
func figures(o *tuning.Observation, before, after metrics, took time.Duration) {
	grown := func(name string, labels ...string) float64 {
		return after.sum(name, labels...) - before.sum(name, labels...)
	}
	if requests := grown("kafka_network_requestmetrics_requests_total", "request", "Produce"); requests > 0 {
		o.RequestBytes = grown("kafka_server_brokertopicmetrics_bytesin_total", "topic", "") / requests
	}
	o.GCPercent = after.sum("go_gc_gogc_percent")
	o.GCPerSecond = (collections(after) - collections(before)) / took.Seconds()
	o.PluginMillis = map[string]float64{}
	if calls := after["millrace_plugin_seconds"]; calls != nil {
		for _, m := range calls.Metric {
			if h := m.GetHistogram(); h.GetSampleCount() > 0 {
				for _, l := range m.Label {
					if l.GetName() == "plugin" {
						o.PluginMillis[l.GetValue()] = max(o.PluginMillis[l.GetValue()], 1000*h.GetSampleSum()/float64(h.GetSampleCount()))
					}
				}
			}
		}
	}
}

func collections(m metrics) (n float64) {
	if family := m["go_gc_duration_seconds"]; family != nil {
		for _, one := range family.Metric {
			n += float64(one.GetSummary().GetSampleCount())
		}
	}
	return n
}

package metrics

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// pluginKey is a plugin where it is used: for Produce or for Fetch.
type pluginKey struct{ name, api string }

// Plugin counts the calls of one plugin. Whoever calls it keeps the handle.
type Plugin struct {
	In, Out, Edited, Dropped, Routed Counter // records
	Failed, DeadLettered             Counter // records
	Rejected, Faults, Passed         Counter // batches; Passed: while it was switched off
	Spent                            Counter // batches; while a budget of it was spent
	Fuel                             Counter // of calls, in units of about an instruction

	time   *Histogram
	window window
}

// barred tells for how long yet a plugin is not called: switched off, or over a budget.
type barred func(now time.Time) (off, spent time.Duration)

// Plugin is the handle of a plugin for one API ("produce" or "fetch"); it outlives
// reloads. rest tells at a scrape for how long yet the plugin is not called: because it is switched
// off, and because a budget of it is spent.
func (m *Metrics) Plugin(name, api string, rest func(now time.Time) (off, spent time.Duration)) *Plugin {
	p := &Plugin{time: newHistogram(seconds)}
	if known, ok := m.plugins.LoadOrStore(pluginKey{name, api}, p); ok {
		p = known.(*Plugin)
	}
	m.switches.Store(name, barred(rest))
	return p
}

// Took counts one call.
func (p *Plugin) Took(took time.Duration) { p.time.Observe(int64(took)) }

// longestReason is how many bytes are told of why a plugin could not be made.
const longestReason = 500

// PluginBroken says why a plugin that settings name could not be made; nil when it could.
func (m *Metrics) PluginBroken(name string, why error) {
	if why == nil {
		m.broken.Delete(name)
		return
	}
	reason := why.Error()
	m.broken.Store(name, strings.ToValidUTF8(reason[:min(len(reason), longestReason)], "\uFFFD"))
}

// DropPlugin forgets a plugin that is not loaded any more.
func (m *Metrics) DropPlugin(name string) {
	m.switches.Delete(name)
	m.broken.Delete(name)
	m.plugins.Range(func(key, _ any) bool {
		if key.(pluginKey).name == name {
			m.plugins.Delete(key)
		}
		return true
	})
}

// pluginCounters are the counts of plugins.
var pluginCounters = []struct {
	name, help string
	of         func(*Plugin) *Counter
}{
	{"records_in_total", "Records that a plugin was shown.", func(p *Plugin) *Counter { return &p.In }},
	{"records_out_total", "Records that it let go on.", func(p *Plugin) *Counter { return &p.Out }},
	{"records_edited_total", "Records that it changed.", func(p *Plugin) *Counter { return &p.Edited }},
	{"records_dropped_total", "Records that it left out.", func(p *Plugin) *Counter { return &p.Dropped }},
	{"records_routed_total", "Records that it had stored in another topic.", func(p *Plugin) *Counter { return &p.Routed }},
	{"records_failed_total", "Records that it called bad.", func(p *Plugin) *Counter { return &p.Failed }},
	{"records_dead_total", "Records that went to its dead-letter topic.", func(p *Plugin) *Counter { return &p.DeadLettered }},
	{"batches_rejected_total", "Batches that it refused.", func(p *Plugin) *Counter { return &p.Rejected }},
	{"faults_total", "Calls that failed.", func(p *Plugin) *Counter { return &p.Faults }},
	{"fuel_total", "Fuel that its calls have used, in units of about an instruction; 0 when it is compiled in.", func(p *Plugin) *Counter { return &p.Fuel }},
	{"batches_off_total", "Batches that came while it was switched off.", func(p *Plugin) *Counter { return &p.Passed }},
	{"batches_spent_total", "Batches that came while it was not called because fault.budget.ms or call.budget.ms was spent.", func(p *Plugin) *Counter { return &p.Spent }},
}

func (m *Metrics) collectPlugins(out chan<- prometheus.Metric, now time.Time) {
	count(out, "millrace_refusals_throttled_total", "Produce requests that plugins refused and whose connection was left alone after that, because of interceptors.refusals.per.second.", m.throttled.Load())
	send(out, prometheus.CounterValue, "millrace_refusals_throttled_seconds_total", "For how long connections were told to be left alone after such requests.", time.Duration(m.throttledTime.Load()).Seconds())
	m.plugins.Range(func(key, handle any) bool {
		k, p := key.(pluginKey), handle.(*Plugin)
		labels := []string{"plugin", k.name, "api", k.api}
		for _, c := range pluginCounters {
			count(out, "millrace_plugin_"+c.name, c.help, c.of(p).Load(), labels...)
		}
		ever := p.time.snapshot()
		times(out, "millrace_plugin_timems", "Time of calls of plugins in milliseconds.", ever, p.window.recent(now, m.options.Window, ever), labels...)
		histogram(out, "millrace_plugin_seconds", "Time of calls of plugins.", seconds, ever, labels...)
		return true
	})
	m.switches.Range(func(name, rest any) bool {
		n := 0.0
		off, spent := rest.(barred)(now)
		if off > 0 {
			n = 1
		}
		show(out, "millrace_plugin_off", "1 while a plugin is switched off because it failed too often.", n, "plugin", name.(string))
		show(out, "millrace_plugin_off_seconds", "For how long yet it is switched off.", off.Seconds(), "plugin", name.(string))
		show(out, "millrace_plugin_spent_seconds", "For how long yet a plugin is not called because fault.budget.ms or call.budget.ms is spent.", spent.Seconds(), "plugin", name.(string))
		return true
	})
	m.broken.Range(func(name, reason any) bool {
		show(out, "millrace_plugin_broken", "Plugins that settings name and that could not be made: their topics take no records.", 1, "plugin", name.(string), "reason", reason.(string))
		return true
	})
}

package plugin

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/loadgen/metrics"
	dto "github.com/prometheus/client_model/go"
)

// Trouble is a plugin that a broker does not call, as its metrics tell.
type Trouble struct {
	Plugin string
	Broken bool          // it could not be made, for that reason
	Reason string        // of one that is broken
	Off    time.Duration // for how long yet it is switched off
	Spent  time.Duration // for how long yet a budget of it is spent
}

// Troubles are the plugins that a broker with such metrics does not call, by name.
func Troubles(families map[string]*dto.MetricFamily) (all []Trouble) {
	for _, m := range families["millrace_plugin_broken"].GetMetric() {
		all = append(all, Trouble{Plugin: metrics.Label(m, "plugin"), Broken: true, Reason: metrics.Label(m, "reason")})
	}
	of := func(family, plugin string) time.Duration {
		for _, m := range families[family].GetMetric() {
			if metrics.Label(m, "plugin") == plugin {
				return time.Duration(m.GetGauge().GetValue() * float64(time.Second))
			}
		}
		return 0
	}
	for _, m := range families["millrace_plugin_off_seconds"].GetMetric() {
		t := Trouble{Plugin: metrics.Label(m, "plugin")}
		t.Off, t.Spent = of("millrace_plugin_off_seconds", t.Plugin), of("millrace_plugin_spent_seconds", t.Plugin)
		if known := slices.ContainsFunc(all, func(other Trouble) bool { return other.Plugin == t.Plugin }); !known && (t.Off > 0 || t.Spent > 0) {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b Trouble) int { return cmp.Compare(a.Plugin, b.Plugin) })
	return all
}

// State is the trouble in a word.
func (t *Trouble) State() string {
	switch {
	case t.Broken:
		return "broken"
	case t.Off > 0:
		return "off"
	case t.Spent > 0:
		return "over budget"
	}
	return "ok"
}

// String says why the plugin is not called, and when that ends.
func (t Trouble) String() string {
	switch {
	case t.Broken:
		return fmt.Sprintf("could not be made, and its topics take no records: %s. It is tried again when it is loaded again, when a setting of it is set to what it is, and when the broker starts", t.Reason)
	case t.Off > 0:
		return fmt.Sprintf("is switched off, for it failed too often (plugin.%s.breaker.…; the broker's log has why). It is called again in %v", t.Plugin, whole(max(t.Off, t.Spent)))
	}
	return fmt.Sprintf("is not called, for its calls took more time than they may (plugin.%s.fault.budget.ms, call.budget.ms). It is called again in %v", t.Plugin, whole(t.Spent))
}

// whole is a time in whole seconds, no less than it is.
func whole(d time.Duration) time.Duration { return (d + time.Second - 1).Truncate(time.Second) }

package tuning

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Kinds of what a change changes.
const (
	Setting     = "setting"     // of the broker, as in server.properties
	Environment = "environment" // of the broker's process
	Workload    = "workload"    // of the clients that make the load
)

// Change is one thing that is set to another value. An empty value takes it away.
type Change struct {
	Kind string `json:"kind"`
	Key  string `json:"key"`
	From string `json:"from"`
	To   string `json:"to"`
}

func (c Change) String() string {
	show := func(value string) string {
		if value == "" {
			return "unset"
		}
		return value
	}
	return c.Kind + " " + c.Key + ": " + show(c.From) + " → " + show(c.To)
}

// Configuration is all that was chosen, beyond defaults.
type Configuration struct {
	Settings    map[string]string `json:"settings,omitempty"`
	Environment map[string]string `json:"environment,omitempty"`
	Workload    map[string]string `json:"workload,omitempty"`
}

// With is the configuration after a change.
func (c Configuration) With(change Change) Configuration {
	next := Configuration{maps.Clone(c.Settings), maps.Clone(c.Environment), maps.Clone(c.Workload)}
	into := map[string]*map[string]string{Setting: &next.Settings, Environment: &next.Environment, Workload: &next.Workload}[change.Kind]
	if *into == nil {
		*into = map[string]string{}
	}
	if change.To == "" && change.Kind != Workload {
		delete(*into, change.Key)
	} else {
		(*into)[change.Key] = change.To
	}
	return next
}

// Observation is what one run of a workload has shown. Figures that nobody could measure are
// zero.
type Observation struct {
	CPU   Ranking `json:"cpu"`
	Mutex Ranking `json:"mutex"`
	Block Ranking `json:"block"`

	// Settings are all that count for the broker, defaults too.
	Settings    map[string]string `json:"-"`
	Environment map[string]string `json:"environment,omitempty"` // as far as the broker reads it
	// Plugins are where interceptors are named: setting to names, in order.
	Plugins map[string][]string `json:"plugins,omitempty"`
	// TopicConfig is the configuration of the workload's topics, which may name some too.
	TopicConfig map[string]string `json:"topic_config,omitempty"`

	Batch          int                `json:"batch_bytes"`           // that the workload asks for
	LingerMillis   float64            `json:"linger_ms"`             // likewise
	ByRecord       bool               `json:"by_record"`             // records arrive one by one
	InFlight       int                `json:"in_flight"`             // requests of a connection
	AsFastAsGoes   bool               `json:"as_fast_as_it_goes"`    // in some phase
	Codec          string             `json:"codec"`                 // of the producers
	FetchBytes     int                `json:"fetch_bytes,omitempty"` // that a consumer may have with one fetch; 0: none consumes
	PartitionBytes int                `json:"partition_bytes,omitempty"`
	RequestBytes   float64            `json:"request_bytes"`       // of a produce request, mean
	Cores          int                `json:"cores"`               // of the machine
	GCPercent      float64            `json:"gc_percent"`          // that is in force
	GCPerSecond    float64            `json:"gc_per_second"`       // collections
	PluginMillis   map[string]float64 `json:"plugin_ms,omitempty"` // of one call, mean, by plugin
}

func (o *Observation) class(name string) float64 { return Part(o.CPU.Classes, name) }

// pluginsNamed are all plugins that a setting names, in order.
func (o *Observation) pluginsNamed() (names []string) {
	for _, key := range slices.Sorted(maps.Keys(o.Plugins)) {
		for _, name := range o.Plugins[key] {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// TopicLists are the settings of a topic that name interceptors.
var TopicLists = []string{"interceptors.produce", "interceptors.fetch"}

// mapping is a configuration of topics as workloads write it.
func mapping(config map[string]string) string {
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(config)) {
		pairs = append(pairs, fmt.Sprintf("%s: %q", key, config[key]))
	}
	return "{" + strings.Join(pairs, ", ") + "}"
}

// withoutPlugin is the change that takes a name out of one list.
func (o *Observation) withoutPlugin(key, name string) Change {
	rest := without(o.Plugins[key], name)
	if !slices.Contains(TopicLists, key) {
		return Change{Setting, key, strings.Join(o.Plugins[key], ","), rest}
	}
	next := maps.Clone(o.TopicConfig)
	next[key] = rest
	return Change{Workload, "config", mapping(o.TopicConfig), mapping(next)}
}

// without is a list that a setting has, less one name.
func without(names []string, name string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == name }), ",")
}

package config

import (
	"slices"
	"strings"

	"github.com/millrace/millrace/sdk/setting"
)

// PluginPrefix is what the settings of single plugins begin with.
const PluginPrefix = "plugin."

// What topics call their lists of interceptors.
const (
	TopicProduceInterceptors = "interceptors.produce"
	TopicFetchInterceptors   = "interceptors.fetch"
)

// ListsPlugins reports whether a setting of topics is a list of interceptors: one from which the last is
// taken has none of its own any more, so that a list that the cluster gets later holds there too.
func ListsPlugins(name string) bool {
	return name == TopicProduceInterceptors || name == TopicFetchInterceptors
}

// Plugins: interceptors that see record batches in the broker (docs/plugins.md).
var (
	Plugins = plugins.List(setting.List{
		Name: "plugins", Dynamic: setting.ClusterWide, Kafka: "no such setting", Check: pluginNames, Allowed: "letters, digits, - and _",
		Doc: "Names of the plugins that are loaded. What each of them is stands under plugin.<name>.",
	})
	Interceptors = plugins.List(setting.List{
		Name: "interceptors", Topic: TopicProduceInterceptors, Dynamic: setting.ClusterWide, Kafka: "no such setting", Check: pluginNames, Allowed: "names of plugins",
		Doc: "Plugins that see record batches before they are stored, in that order. Internal topics have none.",
	})
	FetchInterceptors = plugins.List(setting.List{
		Topic: TopicFetchInterceptors, Kafka: "no such setting", Check: pluginNames, Allowed: "names of plugins",
		Doc: "Plugins that see record batches before they are sent to consumers, in that order. Records of the topic are then copied, not sent from mapped memory.",
	})
	RefusalsPerSecond = plugins.Int(setting.Int{
		Name: "interceptors.refusals.per.second", Default: 100, Max: 1_000_000, Dynamic: setting.ClusterWide, Kafka: "no such setting",
		Doc: "Produce requests of one connection that plugins may refuse in a second, and at once. Beyond that its answers have a throttle time, of a second at most, and it is not read from until that is over. 0: no limit.",
	})
	PluginDir = plugins.String(setting.String{
		Name: "plugin.dir", Kafka: "no such setting",
		Doc: "Folder in which the files lie that settings of plugins name (types wasm, json-schema and audit-log); they may not lie elsewhere. Unset: the folder plugins in the first of log.dirs.",
	})
	_ = Settings.OpenFamily(PluginPrefix, "Settings of the plugin <name>: plugin.<name>.type (by which name it is registered; its own when not given), "+
		"on.error (fail, skip or dlq), dlq.topic, breaker.faults (10), breaker.window.ms (10000), breaker.cooldown.ms (30000), fault.budget.ms (0 to 1000 of each second: 10), call.budget.ms (0 to 1000 of each second: 0, which is no bound), "+
		"and what the plugin itself asks for, with config. before it or without.")
)

// ofGuard is the setting that names the plugin which key belongs to as one that decides who clients
// are or what they may do, "" when none does. Whoever could change what such a plugin goes by could
// have passwords sent elsewhere, or let everybody in.
func ofGuard(v *setting.Values, key string) string {
	rest, ok := strings.CutPrefix(key, PluginPrefix)
	name, _, _ := strings.Cut(rest, ".") // which no plugin's name has in it
	switch {
	case !ok:
		return ""
	case slices.Contains(Authenticators.Of(v), name):
		return Authenticators.Name
	case AuthorizerClass.Of(v) != "" && strings.HasPrefix(rest, AuthorizerClass.Of(v)+"."):
		return AuthorizerClass.Name
	}
	return ""
}

// SameInterceptors reports whether topics without settings of their own have the same
// interceptors under both values.
func SameInterceptors(a, b *setting.Values) bool {
	return slices.Equal(Interceptors.Of(a), Interceptors.Of(b))
}

// pluginNames says what is wrong with names of plugins: they are parts of settings' names.
func pluginNames(names []string) string {
	seen := map[string]bool{}
	for _, name := range names {
		switch {
		case name == "" || strings.ContainsFunc(name, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
		}):
			return "a name of a plugin consists of letters, digits, - and _"
		case seen[name]:
			return "a plugin is named twice"
		}
		seen[name] = true
	}
	return ""
}

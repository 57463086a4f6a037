package configs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Entity names something that has settings: a type of Types, and a name. The
// empty name is the default of the type.
type Entity struct {
	Type, Name string
	// All stands for every entity of the type, when describing.
	All bool
}

// Types are the types of entities.
var Types = []string{"topics", "clients", "users", "brokers", "ips", "client-metrics", "groups", "broker-loggers"}

// singular is the type as it is called in a sentence.
func (e Entity) singular() string { return strings.TrimSuffix(e.Type, "s") }

// resource is the type as the protocol has it, and the source of the settings
// that were set for just this entity.
func (e Entity) resource() (kmsg.ConfigResourceType, kmsg.ConfigSource, bool) {
	switch {
	case e.Type == "topics":
		return kmsg.ConfigResourceTypeTopic, kmsg.ConfigSourceDynamicTopicConfig, true
	case e.Type == "brokers" && e.Name == "":
		return kmsg.ConfigResourceTypeBroker, kmsg.ConfigSourceDynamicDefaultBrokerConfig, true
	case e.Type == "brokers":
		return kmsg.ConfigResourceTypeBroker, kmsg.ConfigSourceDynamicBrokerConfig, true
	case e.Type == "broker-loggers":
		return kmsg.ConfigResourceTypeBrokerLogger, kmsg.ConfigSourceDynamicBrokerLoggerConfig, true
	case e.Type == "client-metrics":
		return kmsg.ConfigResourceTypeClientMetrics, kmsg.ConfigSourceClientMetricsConfig, true
	case e.Type == "groups":
		return kmsg.ConfigResourceTypeGroupConfig, kmsg.ConfigSourceGroupConfig, true
	}
	return 0, 0, false
}

// Change sets or removes one setting.
type Change struct {
	Name, Value string
	Remove      bool
}

// ParseAdd reads k=v,k2=[a,b]: square brackets keep commas together.
func ParseAdd(list string) ([]Change, error) {
	var changes []Change
	for _, pair := range splitOutside(list, ',') {
		parts := splitOutside(pair, '=')
		if len(parts) != 2 {
			return nil, fmt.Errorf(`requirement failed: Invalid entity config: all configs to be added must be in the format "key=val" or  "key=[val1,val2]" to group values which contain commas.`)
		}
		name := strings.TrimSpace(parts[0])
		value := strings.TrimSpace(strings.NewReplacer("[", "", "]", "").Replace(parts[1]))
		changes = slices.DeleteFunc(changes, func(c Change) bool { return c.Name == name })
		changes = append(changes, Change{Name: name, Value: value})
	}
	return changes, checkNames(changes)
}

// splitOutside cuts text at every separator that is not inside square brackets.
func splitOutside(text string, separator byte) []string {
	var parts []string
	depth, start := 0, 0
	for i := range len(text) {
		switch c := text[i]; {
		case c == '[':
			depth++
		case c == ']':
			depth = max(0, depth-1)
		case c == separator && depth == 0:
			parts = append(parts, text[start:i])
			start = i + 1
		}
	}
	return append(parts, text[start:])
}

// FromProperties are the changes that a properties file holds, by name.
func FromProperties(all map[string]string) ([]Change, error) {
	changes := make([]Change, 0, len(all))
	for name, value := range all {
		changes = append(changes, Change{Name: name, Value: value})
	}
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.Name, b.Name) })
	return changes, checkNames(changes)
}

func checkNames(changes []Change) error {
	for _, c := range changes {
		for _, r := range c.Name {
			if !strings.ContainsRune("$._-", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
				return fmt.Errorf("Invalid character found for config key: %s", c.Name)
			}
		}
	}
	return nil
}

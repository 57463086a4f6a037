package cluster

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ConfigRules say which settings there are. The zero value takes every setting and knows no list.
type ConfigRules struct {
	// Node is the id of the broker that was asked: only its own settings, and every
	// broker's default, can be altered there.
	Node int32
	// Check refuses a setting that is about to be given. Its error's text goes to the
	// client: with INVALID_CONFIG for a topic, with INVALID_REQUEST for a broker, or with
	// the code of a *kerr.Error that it wraps.
	Check func(kind ConfigKind, name string, value *string) error
	// List reports whether a setting is a list, which APPEND and SUBTRACT need, and its
	// default.
	List func(kind ConfigKind, name string) (list bool, value string)
	// Forget reports whether a list goes, instead of staying as an empty one, when SUBTRACT takes its
	// last item and its default is empty too. Nil: none does, as in Kafka.
	Forget func(kind ConfigKind, name string) bool
	// Whole refuses settings for how they fit together, and with the rest of the image. Its
	// error's text goes to the client, with INVALID_CONFIG.
	Whole func(i *Image, w *Whole) error
}

// Whole is what a request would make of all settings of a resource.
type Whole struct {
	Kind     ConfigKind
	Name     string
	Settings map[string]string
	// Named are the settings that the request is about, those too that stay what they are.
	// AlterConfigs is about none: it must say all that shall be left.
	Named []string
	// ValidateOnly says that nothing will be changed. It is for the caller to fill in.
	ValidateOnly bool
}

// fit asks for what the changes would make of all settings of a resource.
func (r *resource) fit(i *Image, rules ConfigRules, record *ConfigRecord, current map[string]string) *Refusal {
	if rules.Whole == nil || len(record.Values) == 0 {
		return nil
	}
	w := &Whole{Kind: record.Resource, Name: record.Name, Settings: merge(maps.Clone(current), record.Values)}
	if !r.whole {
		w.Named = slices.Collect(maps.Keys(record.Values))
	}
	if err := rules.Whole(i, w); err != nil {
		return refuse(kerr.InvalidConfig, "%s", strings.ToValidUTF8(err.Error(), "\uFFFD"))
	}
	return nil
}

// AlteredConfig is the answer for one resource.
type AlteredConfig struct {
	Type    kmsg.ConfigResourceType
	Name    string
	Refusal *Refusal
}

// change is one setting that a request wants changed.
type change struct {
	name  string
	op    kmsg.IncrementalAlterConfigOp
	value *string
}

// resource is one resource of a request, old form or new.
type resource struct {
	AlteredConfig
	changes []change
	// whole means that the changes are all the settings that shall be left (AlterConfigs).
	whole bool
}

// AlterConfigs decides the old AlterConfigs request: what it names replaces all settings
// of a resource. Either all settings of a resource change or none. There is one answer for
// each resource. When the request only validates, the caller drops the records.
func AlterConfigs(i *Image, resources []kmsg.AlterConfigsRequestResource, rules ConfigRules) ([]Record, []AlteredConfig) {
	asked := make([]resource, 0, len(resources))
	for _, r := range resources {
		one := resource{AlteredConfig: AlteredConfig{Type: r.ResourceType, Name: r.ResourceName}, whole: true}
		for _, config := range r.Configs {
			one.changes = append(one.changes, change{config.Name, kmsg.IncrementalAlterConfigOpSet, config.Value})
		}
		asked = append(asked, one)
	}
	return alter(i, asked, rules)
}

// IncrementalAlterConfigs decides the request that sets, deletes, appends to and subtracts
// from single settings. Otherwise it is as AlterConfigs.
func IncrementalAlterConfigs(
	i *Image, resources []kmsg.IncrementalAlterConfigsRequestResource, rules ConfigRules,
) ([]Record, []AlteredConfig) {
	asked := make([]resource, 0, len(resources))
	for _, r := range resources {
		one := resource{AlteredConfig: AlteredConfig{Type: r.ResourceType, Name: r.ResourceName}}
		for _, config := range r.Configs {
			one.changes = append(one.changes, change{config.Name, config.Op, config.Value})
		}
		asked = append(asked, one)
	}
	return alter(i, asked, rules)
}

func alter(i *Image, asked []resource, rules ConfigRules) ([]Record, []AlteredConfig) {
	type key struct {
		of   kmsg.ConfigResourceType
		name string
	}
	seen := make(map[key]int, len(asked))
	for _, r := range asked {
		seen[key{r.Type, r.Name}]++
	}
	var records []Record
	answers := make([]AlteredConfig, 0, len(asked))
	for _, r := range asked {
		if seen[key{r.Type, r.Name}] > 1 {
			r.Refusal = refuse(kerr.InvalidRequest, "Each resource must appear at most once.")
		} else {
			var record *ConfigRecord
			record, r.Refusal = r.decide(i, rules)
			if r.Refusal == nil && len(record.Values) > 0 {
				records = append(records, record)
			}
		}
		answers = append(answers, r.AlteredConfig)
	}
	return records, answers
}

// decide decides one resource.
func (r *resource) decide(i *Image, rules ConfigRules) (*ConfigRecord, *Refusal) {
	if refused := r.wellFormed(); refused != nil {
		return nil, refused
	}
	var current map[string]string
	record := &ConfigRecord{Name: r.Name}
	var exists *Refusal
	switch r.Type {
	case kmsg.ConfigResourceTypeTopic:
		record.Resource = TopicConfig
		switch {
		case r.Name == "":
			return nil, refuse(kerr.InvalidRequest, "Default topic resources are not allowed.")
		case CheckName(r.Name) != nil:
			return nil, CheckName(r.Name)
		}
		if topic := i.Topic(r.Name); topic != nil {
			current = topic.Configs
		} else {
			exists = refuse(kerr.UnknownTopicOrPartition, "The topic '%s' does not exist.", r.Name)
		}
	case kmsg.ConfigResourceTypeBroker:
		record.Resource = BrokerConfig
		if refused := checkBroker(i, r.Name, rules.Node); refused != nil {
			return nil, refused
		}
		current = i.BrokerConfigs(r.Name)
	case kmsg.ConfigResourceTypeGroupConfig:
		record.Resource = GroupConfig
		if r.Name == "" {
			return nil, refuse(kerr.InvalidRequest, "Default group resources are not allowed.")
		}
		current = i.GroupConfigs(r.Name)
	default:
		return nil, refuse(kerr.InvalidRequest, "Unknown resource type %d", int8(r.Type))
	}
	var refused *Refusal
	if record.Values, refused = r.values(record.Resource, current, rules); refused != nil {
		return nil, refused
	}
	if exists == nil {
		if refused = r.fit(i, rules, record, current); refused != nil {
			return nil, refused
		}
	}
	return record, exists // as in Kafka, what is wrong with a setting is said first
}

// wellFormed refuses what no resource can be asked.
func (r *resource) wellFormed() *Refusal {
	names := make(map[string]bool, len(r.changes))
	var absent []string
	for _, c := range r.changes {
		if names[c.name] {
			return refuse(kerr.InvalidRequest, "Error due to duplicate config keys")
		}
		names[c.name] = true
		if c.op != kmsg.IncrementalAlterConfigOpDelete && c.value == nil {
			absent = append(absent, c.name)
		}
	}
	if len(absent) > 0 {
		return refuse(kerr.InvalidRequest, "Null value not supported for : %s", strings.ToValidUTF8(strings.Join(absent, ", "), "\uFFFD"))
	}
	return nil
}

// checkBroker refuses the name of a broker whose settings cannot be altered at node.
func checkBroker(i *Image, name string, node int32) *Refusal {
	if name == "" {
		return nil // every broker's default
	}
	id, err := strconv.ParseInt(name, 10, 32)
	switch {
	case err != nil:
		return refuse(kerr.InvalidRequest, "Node id must be an integer, but it is: %s", strings.ToValidUTF8(name, "\uFFFD"))
	case int32(id) != node || strconv.Itoa(int(id)) != name:
		return refuse(kerr.InvalidRequest, "Unexpected broker id, expected %d, but received %s", node, name)
	case i.Broker(int32(id)) == nil:
		return refuse(kerr.BrokerIDNotRegistered, "No node with id %d found.", id)
	}
	return nil
}

// values are the settings that change, null for those that go.
func (r *resource) values(kind ConfigKind, current map[string]string, rules ConfigRules) (map[string]*string, *Refusal) {
	values := make(map[string]*string)
	for _, c := range r.changes {
		next, refused := c.apply(kind, current, rules)
		if refused != nil {
			return nil, refused
		}
		old, had := current[c.name]
		unchanged := next == nil && !had || next != nil && had && *next == old
		if unchanged && kind != BrokerConfig {
			continue // a broker is told even so: the same name may stand for something new (KAFKA-14136)
		}
		if refused := rules.check(kind, c.name, next); refused != nil {
			return nil, refused
		}
		if next != nil || had {
			values[c.name] = next
		}
	}
	if !r.whole {
		return values, nil
	}
	for _, name := range slices.Sorted(maps.Keys(current)) {
		if !slices.ContainsFunc(r.changes, func(c change) bool { return c.name == name }) {
			values[name] = nil
		}
	}
	return values, nil
}

// check asks the rules, and gives their error the code that Kafka would.
func (rules *ConfigRules) check(kind ConfigKind, name string, value *string) *Refusal {
	if value == nil {
		return nil
	}
	var cause error
	refused := checkValue(name, value, func(name string, value *string) error {
		if rules.Check != nil {
			cause = rules.Check(kind, name, value)
		}
		return cause
	})
	var code *kerr.Error
	switch {
	case refused == nil || cause == nil:
	case errors.As(cause, &code):
		refused.Code = code
	case kind == BrokerConfig:
		refused.Code = kerr.InvalidRequest
	}
	return refused
}

// apply answers the value of the setting after the change, nil when it goes.
func (c *change) apply(kind ConfigKind, current map[string]string, rules ConfigRules) (*string, *Refusal) {
	switch c.op {
	case kmsg.IncrementalAlterConfigOpSet:
		return c.value, nil
	case kmsg.IncrementalAlterConfigOpDelete:
		return nil, nil
	case kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract:
		return c.edit(kind, current, rules)
	}
	return nil, refuse(kerr.InvalidRequest, "Unknown operations type %d", int8(c.op))
}

// edit appends to or subtracts from a list.
func (c *change) edit(kind ConfigKind, current map[string]string, rules ConfigRules) (*string, *Refusal) {
	var list bool
	var below string
	if rules.List != nil {
		list, below = rules.List(kind, c.name)
	}
	if !list && kind == BrokerConfig {
		return nil, refuse(kerr.InvalidConfig, "Config value %s is not allowed for config key: %s",
			strings.ToLower(c.op.String()), strings.ToValidUTF8(c.name, "\uFFFD"))
	}
	if !list {
		return nil, refuse(kerr.InvalidConfig, "Can't %s to key %s because its type is not LIST.",
			c.op, strings.ToValidUTF8(c.name, "\uFFFD"))
	}
	old := below
	if set, ok := current[c.name]; ok {
		old = set
	}
	items := slices.DeleteFunc(strings.Split(old, ","), func(item string) bool { return item == "" })
	for _, item := range split(*c.value) {
		at := slices.IndexFunc(items, func(known string) bool { return strings.TrimSpace(known) == strings.TrimSpace(item) })
		switch {
		case c.op == kmsg.IncrementalAlterConfigOpAppend && at < 0:
			items = append(items, item)
		case c.op == kmsg.IncrementalAlterConfigOpSubtract && at >= 0:
			items = slices.Delete(items, at, at+1)
		}
	}
	joined := strings.Join(items, ",")
	if c.op == kmsg.IncrementalAlterConfigOpSubtract && joined == "" && below == "" && rules.Forget != nil && rules.Forget(kind, c.name) {
		return nil, nil
	}
	return &joined, nil
}

// split cuts a list as Java does: what is empty at its end does not count.
func split(list string) []string {
	items := strings.Split(list, ",")
	for len(items) > 1 && items[len(items)-1] == "" {
		items = items[:len(items)-1]
	}
	return items
}

package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/millrace/millrace/sdk/setting"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Operation is what a Change does, in the numbers of IncrementalAlterConfigs.
type Operation int8

// The operations. Append and Subtract are for lists.
const (
	Set Operation = iota
	Delete
	Append
	Subtract
)

// Change is one alteration of a setting.
type Change struct {
	Name  string
	Op    Operation
	Value *string
}

// Refusal is why settings were not changed: the protocol's error and a text for a person.
type Refusal struct {
	Code *kerr.Error
	Text string
}

func (r *Refusal) Error() string { return r.Text }

// Unwrap makes errors.Is(err, kerr.InvalidConfig) work.
func (r *Refusal) Unwrap() error { return r.Code }

func refuse(code *kerr.Error, format string, values ...any) *Refusal {
	return &Refusal{code, fmt.Sprintf(format, values...)}
}

// CheckTopic judges the settings that a new topic is created with. broker is what counts
// for a topic without any. The error is a *Refusal.
func CheckTopic(broker *setting.Values, overrides map[string]*string) error {
	changes := make([]Change, 0, len(overrides))
	for name, value := range overrides {
		if value == nil {
			return refuse(kerr.InvalidConfig, "Null value not supported for topic configs: %s", name)
		}
		changes = append(changes, Change{Name: name, Value: value})
	}
	_, err := ChangeTopic(broker, nil, changes)
	return err
}

// ChangeTopic answers the overrides that a topic has after changes to current, which
// stays as it is; to replace all of them (AlterConfigs), current is nil. The error is a
// *Refusal, and then nothing is to be changed.
func ChangeTopic(broker *setting.Values, current map[string]string, changes []Change) (map[string]string, error) {
	next, err := apply(current, changes, Settings.LookupTopic, func(name string) string {
		text, _ := broker.Text(Settings.LookupTopic(name))
		return text
	})
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(next)) {
		d := Settings.LookupTopic(name)
		if d == nil {
			return nil, refuse(kerr.InvalidConfig, "Unknown topic config name: %s", name)
		}
		if _, err := d.Parse(name, next[name]); err != nil {
			return nil, refuse(kerr.InvalidConfig, "%s", kafkaText(name, err))
		}
	}
	if err := FitTopic(broker, next); err != nil {
		return nil, err
	}
	return next, nil
}

// FitTopic refuses the settings of a topic for how they fit together, each of which is right by itself.
func FitTopic(broker *setting.Values, overrides map[string]string) error {
	v := broker.Topic(overrides)
	if RemoteStorage.Of(v) {
		return refuse(kerr.InvalidConfig, "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.")
	}
	if least, most := MinCompactionLag.Of(v), MaxCompactionLag.Of(v); least > most {
		return refuse(kerr.InvalidConfig, "conflict topic config setting min.compaction.lag.ms (%d) > max.compaction.lag.ms (%d)",
			least.Milliseconds(), most.Milliseconds())
	}
	return nil
}

// kafkaText is the text of err. Kafka names the throttled replicas twice.
func kafkaText(name string, err error) string {
	return strings.Replace(err.Error(), ": must be the literal", ": "+name+" must be the literal", 1)
}

// ChangeBroker answers the dynamic settings that one broker (or, with everywhere, all of
// them) has after changes to current, which stays as it is.
func ChangeBroker(broker *setting.Values, current map[string]string, everywhere bool, changes []Change) (map[string]string, error) {
	next, err := apply(current, changes, Settings.Lookup, func(name string) string {
		text, _ := broker.Text(Settings.Lookup(name))
		return text
	})
	if err != nil {
		return nil, err
	}
	var fixed, single []string
	for _, name := range slices.Sorted(maps.Keys(next)) {
		if before, ok := current[name]; ok && before == next[name] {
			continue // what was taken before stays, whatever this version thinks of it
		}
		d := Settings.Lookup(name)
		switch {
		case d == nil && ofGuard(broker, name) != "":
			return nil, refuse(kerr.InvalidRequest, "%s cannot be changed while the broker runs: %s names that plugin, whose settings are only read from the file, at a start", name, ofGuard(broker, name))
		case d == nil && Settings.InOpenFamily(name): // whoever reads it judges it
		case d == nil && Settings.Nearest(name) != "":
			return nil, refuse(kerr.InvalidRequest, "Unknown broker config name: %s; did you mean %s?", name, Settings.Nearest(name))
		case d == nil:
			return nil, refuse(kerr.InvalidRequest, "Unknown broker config name: %s", name)
		case d.Dynamic == setting.ReadOnly:
			fixed = append(fixed, name)
		case d.Dynamic == setting.PerBroker && everywhere:
			single = append(single, name)
		default:
			if _, err := d.Parse(name, next[name]); err != nil {
				return nil, refuse(kerr.InvalidRequest, "%s", kafkaText(name, err))
			}
		}
	}
	if len(fixed) > 0 {
		return nil, refuse(kerr.InvalidRequest, "Cannot update these configs dynamically: [%s]", strings.Join(fixed, ", "))
	}
	if len(single) > 0 {
		return nil, refuse(kerr.InvalidRequest, "Cannot update these configs at default cluster level, broker id must be specified: [%s]", strings.Join(single, ", "))
	}
	return next, nil
}

// apply does the changes on a copy of current. below is the value of a setting that
// current does not have: what a list is appended to.
func apply(current map[string]string, changes []Change, lookup func(string) *setting.Declaration, below func(string) string) (map[string]string, error) {
	next := maps.Clone(current)
	if next == nil {
		next = make(map[string]string, len(changes))
	}
	seen := make(map[string]bool, len(changes))
	for _, c := range changes {
		switch {
		case seen[c.Name]:
			return nil, refuse(kerr.InvalidRequest, "Error due to duplicate config keys")
		case c.Value == nil && c.Op != Delete:
			return nil, refuse(kerr.InvalidRequest, "Null value not supported for : %s", c.Name)
		case c.Op < Set || c.Op > Subtract:
			return nil, refuse(kerr.InvalidRequest, "Unknown operation type %d", c.Op)
		}
		seen[c.Name] = true
		switch c.Op {
		case Set:
			next[c.Name] = *c.Value
		case Delete:
			delete(next, c.Name)
		default:
			d := lookup(c.Name)
			if d == nil || d.Type != setting.TypeList {
				return nil, refuse(kerr.InvalidConfig, "Can't %s to key %s because its type is not LIST.", operationNames[c.Op], c.Name)
			}
			text, ok := next[c.Name]
			if !ok {
				text = below(c.Name)
			}
			next[c.Name] = changeList(text, c.Op, *c.Value)
		}
	}
	return next, nil
}

var operationNames = [...]string{"SET", "DELETE", "APPEND", "SUBTRACT"}

// changeList adds words to a list, or takes them out.
func changeList(text string, op Operation, words string) string {
	list := split(text)
	for _, word := range split(words) {
		switch at := slices.Index(list, word); {
		case op == Append && at < 0:
			list = append(list, word)
		case op == Subtract && at >= 0:
			list = slices.Delete(list, at, at+1)
		}
	}
	return strings.Join(list, ",")
}

func split(text string) []string {
	var words []string
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word != "" {
			words = append(words, word)
		}
	}
	return words
}

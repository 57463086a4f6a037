package setting

import (
	"maps"
	"strings"
	"time"
)

// Source tells where a value was given, in the numbers of DescribeConfigs.
type Source int8

// The sources. A lower one wins.
const (
	SourceTopic          Source = 1
	SourceDynamicBroker  Source = 2
	SourceDynamicDefault Source = 3
	SourceStatic         Source = 4
	SourceDefault        Source = 5
	SourceGroup          Source = 8 // of groups, which have nothing else but the default
)

// String is the name that Kafka's tools print.
func (s Source) String() string {
	return [...]string{"UNKNOWN", "DYNAMIC_TOPIC_CONFIG", "DYNAMIC_BROKER_CONFIG", "DYNAMIC_DEFAULT_BROKER_CONFIG",
		"STATIC_BROKER_CONFIG", "DEFAULT_CONFIG", "", "", "DYNAMIC_GROUP_CONFIG"}[s]
}

// Position is the place of a line in a file.
type Position struct {
	File string
	Line int
}

// Layer is the texts that one source gives.
//
// Ownership: a layer that was handed to Resolve or Topic is never changed again.
type Layer struct {
	Source Source
	Texts  map[string]string   // by name, in SourceTopic by the topics' name
	Where  map[string]Position // of each text; nil when they are from no file
}

// slot is one value, parsed. Texts, lists and numbers have a field each so that
// reading one needs no conversion.
type slot struct {
	n    int64 // numbers; bits of a double; 1 for true; nanoseconds of a time
	text string
	list []string
	null bool
}

// Values is one consistent state of all settings. It is immutable: a change makes
// new Values, which are published with one atomic pointer.
type Values struct {
	set    *Set
	layers []Layer // the highest first
	own    []slot  // settings that a topic may have for itself
	rest   []slot  // all others; a topic's Values share the broker's
}

// at finds a slot. It is the whole cost of reading a setting.
func (v *Values) at(i index) *slot {
	if i >= 0 {
		return &v.own[i]
	}
	return &v.rest[^i]
}

// Resolve puts layers on top of each other, the highest first, and the defaults
// below them all. A text that its setting does not take is passed over, as if it
// had not been given: what must be refused is refused by Problems and Parse,
// before it becomes part of a layer.
func (s *Set) Resolve(layers ...Layer) *Values {
	v := &Values{set: s, layers: layers, own: make([]slot, s.twins), rest: make([]slot, s.rest)}
	for _, d := range s.all {
		*v.at(d.slot) = d.resolve(s, layers)
	}
	return v
}

// Topic is what counts for one topic: its overrides, by the topics' names, on top
// of v. Without overrides it is v itself, so that topics without any share one
// snapshot.
//
// Ownership: overrides is not changed any more.
func (v *Values) Topic(overrides map[string]string) *Values {
	if len(overrides) == 0 {
		return v
	}
	top := Layer{Source: SourceTopic, Texts: overrides}
	t := &Values{set: v.set, layers: append([]Layer{top}, v.layers...), own: append([]slot(nil), v.own...), rest: v.rest}
	for name, text := range overrides {
		if d := v.set.topic[name]; d != nil {
			if parsed, wrong := d.parse(strings.TrimSpace(text)); wrong == (fault{}) {
				*t.at(d.slot) = parsed
			}
		}
	}
	return t
}

// resolve is the value of d: that of the first layer that gives it by any of its names.
func (d *Declaration) resolve(s *Set, layers []Layer) slot {
	for _, layer := range layers {
		for _, name := range d.names(layer.Source) {
			if text, ok := layer.Texts[name]; ok {
				if value, ok := s.as(d, name, layer.Source, text); ok {
					return value
				}
			}
		}
	}
	if !d.standard.null {
		return d.standard
	}
	for _, name := range d.Synonyms {
		if other := s.broker[name]; other != nil && !other.standard.null {
			return d.convert(other, other.standard)
		}
	}
	return d.standard
}

// names is what d is called in a layer of that source, the name that wins first.
func (d *Declaration) names(source Source) []string {
	switch {
	case source == SourceTopic && d.Topic == "", source != SourceTopic && d.Name == "":
		return nil
	case source == SourceTopic:
		return []string{d.Topic}
	case len(d.Synonyms) == 0:
		return []string{d.Name}
	default:
		return append([]string{d.Name}, d.Synonyms...)
	}
}

// as reads text, given under name, as a value of d.
func (s *Set) as(d *Declaration, name string, source Source, text string) (slot, bool) {
	from := d
	if source != SourceTopic && name != d.Name {
		from = s.broker[name]
	}
	if from == nil {
		return slot{}, false
	}
	value, wrong := from.parse(strings.TrimSpace(text))
	if wrong != (fault{}) {
		return slot{}, false
	}
	return d.convert(from, value), true
}

// convert makes a value of the setting from into one of d: a time is shown in d's unit.
func (d *Declaration) convert(from *Declaration, value slot) slot {
	if d.unit != from.unit && d.unit != 0 {
		value.text = InUnit(time.Duration(value.n), time.Duration(d.unit))
	}
	return value
}

// Text is the value of d in v as server.properties would have it, and whether
// there is one: a setting without a default may be unset.
func (v *Values) Text(d *Declaration) (text string, set bool) {
	s := v.at(d.slot)
	return s.text, !s.null
}

// Given is one place where a setting has a value.
type Given struct {
	Name   string // by which of its names
	Text   string
	Source Source
	Where  Position
}

// Given lists every value that d has, the one that counts first: in each layer by
// its name and then its synonyms, and last the defaults in the same order.
func (v *Values) Given(d *Declaration) []Given {
	var all []Given
	for _, layer := range v.layers {
		for _, name := range d.names(layer.Source) {
			if text, ok := layer.Texts[name]; ok {
				if _, ok := v.set.as(d, name, layer.Source, text); ok {
					all = append(all, Given{name, strings.TrimSpace(text), layer.Source, layer.Where[name]})
				}
			}
		}
	}
	for _, name := range d.names(SourceDefault) {
		if other := v.set.broker[name]; other != nil && !other.Null {
			all = append(all, Given{Name: name, Text: other.Default, Source: SourceDefault})
		}
	}
	return all
}

// With is the broker's values with other dynamic layers: static and default stay.
// Ownership: the maps are not changed any more.
func (v *Values) With(dynamicBroker, dynamicDefault map[string]string) *Values {
	layers := []Layer{{Source: SourceDynamicBroker, Texts: dynamicBroker}, {Source: SourceDynamicDefault, Texts: dynamicDefault}}
	for _, layer := range v.layers {
		if layer.Source >= SourceStatic {
			layers = append(layers, layer)
		}
	}
	return v.set.Resolve(layers...)
}

// Layer is a copy of the texts of one source in v; nil when it gives none.
func (v *Values) Layer(source Source) map[string]string {
	for _, layer := range v.layers {
		if layer.Source == source {
			return maps.Clone(layer.Texts)
		}
	}
	return nil
}

// Family is what v gives under a prefix, by the whole name, each from the highest layer that
// has it. The map is the caller's.
func (v *Values) Family(prefix string) map[string]string {
	all := map[string]string{}
	for i := len(v.layers) - 1; i >= 0; i-- {
		for name, text := range v.layers[i].Texts {
			if strings.HasPrefix(name, prefix) && v.layers[i].Source != SourceTopic {
				all[name] = strings.TrimSpace(text)
			}
		}
	}
	return all
}

// GivenFamily lists every value that a key of an open family has, the one that counts first.
func (v *Values) GivenFamily(name string) []Given {
	var all []Given
	for _, layer := range v.layers {
		if text, ok := layer.Texts[name]; ok && layer.Source != SourceTopic {
			all = append(all, Given{name, strings.TrimSpace(text), layer.Source, layer.Where[name]})
		}
	}
	return all
}

package setting

import (
	"fmt"
	"slices"
	"strings"
)

// Set is all settings of one program. It is filled by package variables before
// main begins and never changes afterwards, so reading it needs no lock.
type Set struct {
	all      []*Declaration
	broker   map[string]*Declaration // by Name
	topic    map[string]*Declaration // by Topic
	families []Family
	sections []*Section
	twins    int // slots that a topic has of its own
	rest     int // slots that only the broker has
}

// NewSet makes an empty set.
func NewSet() *Set {
	return &Set{broker: map[string]*Declaration{}, topic: map[string]*Declaration{}}
}

// Section is a heading of the reference page and the place where settings are declared.
type Section struct {
	Title string
	Doc   string

	set *Set
}

// Section begins a heading. Sections and the settings in them are shown in the order of declaration.
func (s *Set) Section(title, doc string) *Section {
	section := &Section{Title: title, Doc: doc, set: s}
	s.sections = append(s.sections, section)
	return section
}

// Family is a prefix under which any key is accepted: without effect, as Note explains, or,
// when it is open, for whoever reads it with Values.Family. What is wrong with a value of an
// open family is for its reader to say.
type Family struct {
	Prefix string
	Note   string
	Doc    string // of an open family

	read func(name string) bool // of one that is not open: keys that somebody reads after all; nil: none
}

// Open reports whether somebody reads the keys.
func (f Family) Open() bool { return f.Doc != "" }

// Reads reports whether somebody reads the key of that name.
func (f Family) Reads(name string) bool { return f.Open() || f.read != nil && f.read(name) }

// sensitive are words in the names of what must never be shown.
var sensitive = []string{"password", "passphrase", "secret", "credential", "jaas", "token"}

// Sensitive reports whether the value of a key must never be shown: what a key is for that
// nobody declared can only be told by its name.
func (f Family) Sensitive(name string) bool {
	return slices.ContainsFunc(sensitive, func(word string) bool { return strings.Contains(strings.ToLower(name), word) })
}

// Family accepts every key that begins with prefix; giving one is a warning that says note.
func (s *Set) Family(prefix, note string) Family {
	f := Family{Prefix: prefix, Note: note}
	s.families = append(s.families, f)
	return f
}

// PartFamily accepts every key that begins with prefix. Those that read says so of are read at the
// start; giving another one is a warning that says note.
func (s *Set) PartFamily(prefix, note string, read func(name string) bool) Family {
	f := Family{Prefix: prefix, Note: note, read: read}
	s.families = append(s.families, f)
	return f
}

// OpenFamily declares a prefix under which any key is a setting that can be changed while
// the program runs.
func (s *Set) OpenFamily(prefix, doc string) Family {
	f := Family{Prefix: prefix, Doc: doc}
	s.families = append(s.families, f)
	return f
}

// InOpenFamily reports whether name is a key of an open family.
func (s *Set) InOpenFamily(name string) bool {
	f, ok := s.family(name)
	return ok && f.Open()
}

// family is the family that name belongs to.
func (s *Set) family(name string) (Family, bool) {
	for _, f := range s.families {
		if strings.HasPrefix(name, f.Prefix) && len(name) > len(f.Prefix) {
			return f, true
		}
	}
	return Family{}, false
}

// Families lists the accepted prefixes.
func (s *Set) Families() []Family { return s.families }

// Sections lists the headings in the order of declaration.
func (s *Set) Sections() []*Section { return s.sections }

// All lists every declaration in the order of declaration.
func (s *Set) All() []*Declaration { return s.all }

// Lookup finds a setting by its name in server.properties; nil when there is none.
func (s *Set) Lookup(name string) *Declaration { return s.broker[name] }

// LookupTopic finds a setting by the name that topics use; nil when there is none.
func (s *Set) LookupTopic(name string) *Declaration { return s.topic[name] }

// index says where a setting's value lies in Values: at or above 0 in the part
// that each topic may have for itself, below 0 (as ^index) in the broker's.
type index int

// Declaration is what all kinds of setting have in common.
type Declaration struct {
	Name     string // in server.properties. Empty: only topics have it
	Topic    string // as a topic's override. Empty: topics do not have it
	Synonyms []string
	Type     Type
	Dynamic  Dynamic
	Effect   Effect
	Note     string
	Internal bool
	Doc      string
	Section  *Section
	Default  string // in the words of server.properties
	Null     bool   // there is no default
	Kafka    string // Kafka's default, where ours differs
	Allowed  string // the values allowed, in words; empty: any

	parse    parser
	unit     int64 // nanoseconds per unit of a Duration, 0 for all others
	meaning  string
	standard slot // the parsed default
	slot     index
}

// Sensitive reports whether the value must never be shown.
func (d *Declaration) Sensitive() bool { return d.Type == TypePassword }

// Parse checks one value and answers it as it is stored and shown ("TRUE " as
// "true"), or an *Invalid that says what is wrong under the given name.
func (d *Declaration) Parse(name, text string) (string, error) {
	s, wrong := d.parse(strings.TrimSpace(text))
	if wrong != (fault{}) {
		return "", d.invalid(name, text, wrong)
	}
	return s.text, nil
}

// invalid is the error for a wrong text: it never shows that of a password.
func (d *Declaration) invalid(name, text string, wrong fault) *Invalid {
	if wrong.part != "" {
		text = wrong.part
	}
	if d.Sensitive() {
		text = "[hidden]"
	}
	return &Invalid{Name: name, Value: text, Why: wrong.why}
}

// Invalid is a value that a setting does not take. Its text is Kafka's.
type Invalid struct {
	Name, Value, Why string
}

func (e *Invalid) Error() string {
	return fmt.Sprintf("Invalid value %s for configuration %s: %s", e.Value, e.Name, e.Why)
}

// declare adds d to the set. A mistake in a declaration is a panic: it shows in
// every test that imports the package.
func (s *Section) declare(d Declaration) index {
	set := s.set
	d.Section = s
	if d.Doc == "" || d.Name == "" && d.Topic == "" {
		panic(fmt.Sprintf("setting: declaration without a name or a doc: %+v", d))
	}
	if d.Effect != Honoured && d.Note == "" {
		panic("setting: " + d.Name + d.Topic + " is not honoured and does not say why")
	}
	d.standard, d.meaning = d.parseDefault(), d.explain()
	if d.slot = index(set.twins); d.Topic != "" {
		set.twins++
	} else {
		set.rest++
		d.slot = ^index(set.rest - 1)
	}
	set.all = append(set.all, &d)
	enter(set.broker, d.Name, &d)
	enter(set.topic, d.Topic, &d)
	return d.slot
}

// parseDefault runs the default through the setting's own parser, so that a default is always a value allowed.
func (d *Declaration) parseDefault() slot {
	if d.Null {
		d.Default = ""
		return slot{null: true}
	}
	parsed, wrong := d.parse(d.Default)
	if wrong != (fault{}) {
		panic(fmt.Sprintf("setting: the default %q of %s%s is not allowed: %s", d.Default, d.Name, d.Topic, wrong.why))
	}
	d.Default = parsed.text
	return parsed
}

func enter(names map[string]*Declaration, name string, d *Declaration) {
	if name == "" {
		return
	}
	if names[name] != nil {
		panic("setting: " + name + " is declared twice")
	}
	names[name] = d
}

// Check proves that every synonym is declared and of the same nature as the
// setting it stands for.
func (s *Set) Check() error {
	for _, d := range s.all {
		for _, name := range d.Synonyms {
			other := s.broker[name]
			if other == nil {
				return fmt.Errorf("setting %s: its synonym %s is not declared", d.Name, name)
			}
			numbers := []Type{TypeInt, TypeLong, TypeShort}
			if other.Type != d.Type && !(slices.Contains(numbers, d.Type) && slices.Contains(numbers, other.Type)) {
				return fmt.Errorf("setting %s: its synonym %s is a %s, not a %s", d.Name, name, other.Type, d.Type)
			}
			if (d.unit == 0) != (other.unit == 0) {
				return fmt.Errorf("setting %s: only one of it and %s is a time", d.Name, name)
			}
		}
	}
	return nil
}

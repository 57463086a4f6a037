package option

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Argument says whether an option takes a value.
type Argument int

// The values of Argument.
const (
	None     Argument = iota // a switch
	Required                 // --topic orders
	Optional                 // --state, or --state stable
	Many                     // --command-property a=1 b=2: as many as follow
)

// Kind says what an option's value must be.
type Kind int

// The values of Kind.
const (
	Text Kind = iota
	Integer
	Long
	Double
)

// kindNames are the kinds as Java has them.
var kindNames = map[Kind]string{Text: "String", Integer: "Integer", Long: "Long", Double: "Double"}

// Option declares one option.
type Option struct {
	Name     string
	Argument Argument
	Kind     Kind
	Default  string   // the value when the option is not given
	Repeat   bool     // may be given more than once
	Split    string   // values are separated by it: "a,b" is two
	Needs    []string // only available along with one of these
	Must     bool     // argparse alone: the option has to be given
	Metavar  string   // what the value is called in the help
	Help     string
}

// Set declares the options of one tool.
type Set struct {
	Program string
	Summary string
	Options []Option
	// Argparse reads as argparse4j does: prefixes of names are enough, one dash
	// is not, and every mistake is one line.
	Argparse bool
	// Commands are what the tool can be told to do, each with options of its own that
	// stand behind its name, which is the Program. Only argparse has them.
	Commands []*Set
}

// Given is a parsed command line.
type Given struct {
	set    *Set
	order  []string // names in the order they were given
	values map[string][]string
	rest   []string
	// command is the name of the one of Commands that was given.
	command string
}

// Error is a mistake in a command line, in the words of Kafka's tools.
type Error struct{ Text string }

func (e *Error) Error() string { return e.Text }

// ValueError is a value that an option cannot have: not of its kind, or one too many.
// Kafka's tools find it later than other mistakes, and some report it in another way.
type ValueError struct{ Text string }

func (e *ValueError) Error() string { return e.Text }

func mistake(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }

func (s *Set) find(name string) *Option {
	for i := range s.Options {
		if s.Options[i].Name == name {
			return &s.Options[i]
		}
	}
	return nil
}

// Parse reads args. Whatever it returns, Given holds what was read so far, so
// that help can be asked for along with mistakes.
func (s *Set) Parse(args []string) (*Given, error) {
	g := &Given{set: s, values: map[string][]string{}}
	if err := g.read(args); err != nil {
		return g, err
	}
	if len(s.Commands) > 0 && !g.Has("help") && !g.Has("version") {
		if err := g.readCommand(); err != nil {
			return g, err
		}
	}
	if g.Has("help") || g.Has("version") {
		return g, nil
	}
	return g, g.check()
}

// readCommand reads what stands behind the options of the tool itself: the name of a
// command and its options. From then on g has the options of both.
func (g *Given) readCommand() error {
	tool := g.set
	if len(g.rest) == 0 {
		return mistake("too few arguments")
	}
	var names []string
	for _, command := range tool.Commands {
		names = append(names, "'"+command.Program+"'")
		if command.Program == g.rest[0] {
			g.command, g.set = command.Program, command
		}
	}
	if g.command == "" {
		return mistake("invalid choice: '%s' (choose from %s)", g.rest[0], strings.Join(names, ", "))
	}
	args := g.rest[1:]
	g.rest = nil
	err := g.read(args)
	both := *tool
	both.Commands, both.Options = nil, slices.Concat(g.set.Options, tool.Options)
	g.set = &both
	return err
}

// read takes options off args until there are none left, or until a command begins.
func (g *Given) read(args []string) error {
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if arg == "--" {
			g.rest = append(g.rest, args...)
			return nil
		}
		if !looksLikeOption(arg) {
			g.rest = append(g.rest, arg)
			if len(g.set.Commands) > 0 {
				g.rest = append(g.rest, args...)
				return nil
			}
			continue
		}
		name, value, inline := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		option, err := g.set.match(arg, name)
		if err != nil {
			return err
		}
		if args, err = g.take(option, value, inline, args); err != nil {
			return err
		}
	}
	return nil
}

func looksLikeOption(arg string) bool { return len(arg) > 1 && arg[0] == '-' }

// match finds the option called name, or by a prefix where that is enough.
func (s *Set) match(arg, name string) (*Option, error) {
	if option := s.find(name); option != nil && (strings.HasPrefix(arg, "--") || !s.Argparse) {
		return option, nil
	}
	if !s.Argparse {
		return nil, mistake("%s is not a recognized option", name)
	}
	if arg == "-h" {
		return s.find("help"), nil
	}
	var found *Option
	for i := range s.Options {
		if strings.HasPrefix(arg, "--") && strings.HasPrefix(s.Options[i].Name, name) {
			if found != nil {
				return nil, mistake("ambiguous option: %s could match --%s, --%s", arg, found.Name, s.Options[i].Name)
			}
			found = &s.Options[i]
		}
	}
	if found == nil {
		return nil, mistake("unrecognized arguments: '%s'", arg)
	}
	return found, nil
}

// take gives option its value, off args when it does not stand in place.
func (g *Given) take(o *Option, value string, inline bool, args []string) ([]string, error) {
	g.order = append(g.order, o.Name)
	if _, ok := g.values[o.Name]; !ok {
		g.values[o.Name] = nil
	}
	if o.Argument == None {
		return args, nil
	}
	if inline && value != "" {
		g.add(o, value)
		return args, nil
	}
	switch {
	case o.Argument == Many:
		n := 0
		for n < len(args) && !looksLikeOption(args[n]) {
			g.add(o, args[n])
			n++
		}
		if n == 0 {
			return nil, mistake("argument --%s: expected at least one argument", o.Name)
		}
		return args[n:], nil
	case len(args) > 0 && (o.Argument == Required && !g.set.Argparse || !looksLikeOption(args[0]) || isNumber(o, args[0])):
		g.add(o, args[0])
		return args[1:], nil
	case o.Argument == Optional:
		return args, nil
	case g.set.Argparse:
		return nil, mistake("argument --%s: expected one argument", o.Name)
	}
	return nil, mistake("Option %s requires an argument", o.Name)
}

// isNumber reports whether a value with a leading dash is a number that o wants.
func isNumber(o *Option, value string) bool { return o.Kind != Text && convert(o, value) == nil }

func (g *Given) add(o *Option, value string) {
	if o.Split != "" {
		g.values[o.Name] = append(g.values[o.Name], strings.Split(value, o.Split)...)
		return
	}
	g.values[o.Name] = append(g.values[o.Name], value)
}

// check looks at what can only be judged once everything was read.
func (g *Given) check() error {
	for _, name := range g.order {
		o := g.set.find(name)
		if len(o.Needs) > 0 && !slices.ContainsFunc(o.Needs, g.Has) {
			return mistake("Option(s) [%s] are unavailable given other options on the command line", name)
		}
		if n := len(g.values[name]); n > 1 && !o.Repeat && !g.set.Argparse {
			return &ValueError{fmt.Sprintf("Found multiple arguments for option %s, but you asked for only one", name)}
		}
	}
	if g.set.Argparse && len(g.rest) > 0 {
		return mistake("unrecognized arguments: '%s'", g.rest[0])
	}
	for _, o := range g.set.Options {
		if o.Must && !g.Has(o.Name) {
			return mistake("argument --%s is required", o.Name)
		}
	}
	for _, name := range g.order {
		for _, value := range g.values[name] {
			o := g.set.find(name)
			if err := convert(o, value); err != nil && g.set.Argparse {
				return mistake("argument --%s: could not convert '%s' to %s (For input string: %q)", name, value, kindNames[o.Kind], value)
			} else if err != nil {
				return err
			}
		}
	}
	return nil
}

// convert checks that value is of o's kind.
func convert(o *Option, value string) error {
	var err error
	switch o.Kind {
	case Integer:
		_, err = strconv.ParseInt(value, 10, 32)
	case Long:
		_, err = strconv.ParseInt(value, 10, 64)
	case Double:
		_, err = strconv.ParseFloat(value, 64)
	}
	if err == nil {
		return nil
	}
	return &ValueError{fmt.Sprintf("Cannot parse argument '%s' of option %s", value, o.Name)}
}

package option

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Usage prints how the tool is called: one row for each option, by name.
func (s *Set) Usage(w io.Writer) {
	options := slices.SortedFunc(slices.Values(s.Options), func(a, b Option) int { return strings.Compare(a.Name, b.Name) })
	fmt.Fprintf(w, "%-40s %-39s\n%-40s %-39s\n", "Option", "Description", "------", "-----------")
	for _, o := range options {
		left := wrap(o.form(), 40)
		right := wrap(o.describe(), 39)
		for i := range max(len(left), len(right)) {
			fmt.Fprintf(w, "%-40s %-39s\n", at(left, i), at(right, i))
		}
	}
}

// form is how o is written: --topic <String: topic>.
func (o *Option) form() string {
	kind := kindNames[o.Kind]
	if o.Metavar != "" {
		kind += ": " + o.Metavar
	}
	switch o.Argument {
	case Required, Many:
		return fmt.Sprintf("--%s <%s>", o.Name, kind)
	case Optional:
		return fmt.Sprintf("--%s [%s]", o.Name, kind)
	}
	return "--" + o.Name
}

func (o *Option) describe() string {
	if o.Default != "" {
		return fmt.Sprintf("%s (default: %s)", o.Help, o.Default)
	}
	return o.Help
}

// wrap breaks text into lines of at most width, all but the first indented.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = "  " + word
		} else if line == "" {
			line = word
		} else {
			line += " " + word
		}
	}
	return append(lines, line)
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

// Synopsis prints how the tool is called in argparse's way, on one paragraph.
func (s *Set) Synopsis(w io.Writer) {
	fmt.Fprintf(w, "usage: %s [-h]", s.Program)
	for _, o := range s.Options {
		if o.Name == "help" {
			continue
		}
		form := "--" + o.Name
		if o.Argument != None {
			form += " " + o.Metavar
		}
		fmt.Fprintf(w, " [%s]", form)
	}
	if len(s.Commands) > 0 {
		fmt.Fprint(w, " COMMAND ...")
	}
	fmt.Fprintln(w)
}

// CommandUsage prints what the tool can be told to do, and the options of each.
func (s *Set) CommandUsage(w io.Writer) {
	for _, command := range s.Commands {
		fmt.Fprintf(w, "\n%s: %s\n\n", command.Program, command.Summary)
		command.Usage(w)
	}
}

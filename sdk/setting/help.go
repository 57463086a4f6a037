package setting

import (
	"fmt"
	"io"
	"strings"
)

// Widest default that Help still puts into its column; a wider one gets a line of its own.
const widestDefault = 26

// widestName is how long a name may be to share its line with the meaning.
const widestName = 42

// Help prints the settings of server.properties that have an effect as one aligned
// table: name, default and meaning, the meaning wrapped so that a line has at most that
// many columns. Below it stand the names of those that have none.
func (s *Set) Help(w io.Writer, columns int) error {
	names := 0
	for _, d := range s.all {
		if d.Effect == Honoured && !d.Internal {
			names = max(names, min(len(d.Name), widestName))
		}
	}
	var out strings.Builder
	t := table{out: &out, names: names, columns: columns}
	t.row("NAME", "DEFAULT", "MEANING")
	var rest []string
	for _, section := range s.sections {
		title := "\n" + section.Title + "\n"
		for _, d := range s.all {
			switch {
			case d.Section != section || d.Name == "" || d.Internal:
			case d.Effect != Honoured:
				rest = append(rest, d.Name)
			default:
				out.WriteString(title)
				title = ""
				t.row(d.Name, d.shownDefault(), d.Meaning())
			}
		}
	}
	out.WriteString("\nKnown, checked and without effect:\n")
	for _, line := range wrap(strings.Join(rest, " "), columns-2) {
		out.WriteString("  " + line + "\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// table writes rows of three columns.
type table struct {
	out            *strings.Builder
	names, columns int
}

func (t table) row(name, value, meaning string) {
	if len(name) > t.names { // its row begins below it
		fmt.Fprintf(t.out, "%s\n", name)
		name = ""
	}
	indent := t.names + 2 + widestDefault + 2
	lines := wrap(meaning, max(t.columns-indent, 30))
	if len(value) > widestDefault {
		fmt.Fprintf(t.out, "%-*s  %s\n", t.names, name, value)
	} else {
		fmt.Fprintf(t.out, "%-*s  %-*s  %s\n", t.names, name, widestDefault, value, lines[0])
		lines = lines[1:]
	}
	for _, line := range lines {
		fmt.Fprintf(t.out, "%*s%s\n", indent, "", line)
	}
}

// Meaning is the documentation with the limits and the effect said in words.
func (d *Declaration) Meaning() string { return d.meaning }

func (d *Declaration) explain() string {
	text := d.Doc
	if d.Allowed != "" && d.Type != TypeBoolean {
		text += " Allowed: " + d.Allowed + "."
	}
	switch d.Effect {
	case Ignored:
		text += " No effect: " + d.Note + "."
	case Refused:
		text += " Refused when changed: " + d.Note + "."
	}
	return text
}

func (d *Declaration) shownDefault() string {
	switch {
	case d.Null:
		return "(unset)"
	case d.Default == "":
		return "(empty)"
	default:
		return d.Default
	}
}

// wrap breaks text between words into lines of at most width columns; there is at least one.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

package setting

import (
	"fmt"
	"io"
	"strings"
)

// Widest default that Help still puts into its column; a wider one gets a line of its own.
const widestDefault = 24

// Help prints every setting of server.properties as one aligned table: name,
// default and meaning, the meaning wrapped at width columns.
func (s *Set) Help(w io.Writer, width int) error {
	names := 0
	for _, d := range s.all {
		if !d.Internal {
			names = max(names, len(d.Name))
		}
	}
	indent := names + 2 + widestDefault + 2
	var out strings.Builder
	fmt.Fprintf(&out, "%-*s  %-*s  %s\n", names, "NAME", widestDefault, "DEFAULT", "MEANING")
	for _, section := range s.sections {
		title := "\n" + section.Title + "\n"
		for _, d := range s.all {
			if d.Section != section || d.Name == "" || d.Internal {
				continue
			}
			out.WriteString(title)
			title = ""
			lines := wrap(d.Meaning(), max(width-indent, 30))
			value := d.shownDefault()
			if len(value) > widestDefault {
				fmt.Fprintf(&out, "%-*s  %s\n", names, d.Name, value)
			} else {
				fmt.Fprintf(&out, "%-*s  %-*s  %s\n", names, d.Name, widestDefault, value, lines[0])
				lines = lines[1:]
			}
			for _, line := range lines {
				fmt.Fprintf(&out, "%*s%s\n", indent, "", line)
			}
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// Meaning is the documentation with the limits and the effect said in words.
func (d *Declaration) Meaning() string {
	text := d.Doc
	if d.Allowed != "" && d.Type != TypeBoolean {
		text += " Allowed: " + d.Allowed + "."
	}
	switch d.Effect {
	case Ignored:
		text += " No effect: " + d.Note
	case Refused:
		text += " Refused when changed: " + d.Note
	}
	if d.Effect != Honoured && !strings.HasSuffix(text, ".") {
		text += "."
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

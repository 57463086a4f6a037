package config

import (
	"fmt"
	"io"
	"strings"

	"github.com/millrace/millrace/sdk/setting"
)

// Help prints the settings as an aligned table of that many columns: what
// `millrace serve --help-settings` shows.
func Help(w io.Writer, columns int) error { return Settings.Help(w, columns) }

const pageHead = `# Settings

This page is made from the declarations in ` + "`engine/config`" + `; to change it, change them and run
` + "`go test ./engine/config -run Docs -rewrite`" + `.

Settings are given in ` + "`server.properties`" + ` (the format and, nearly always, the names, defaults and limits of
Apache Kafka 4.3) and on the command line with ` + "`--override key=value`" + `, which wins. Without a file the broker serves
on 127.0.0.1:9092 from ` + "`./millrace-data`" + `.

- **Changes**: *read-only* settings take effect at a start; *cluster-wide* ones can be changed while the broker runs, for
  one broker or as the default of all (` + "`kafka-configs --entity-type brokers`" + `), *per-broker* ones for one broker.
- **Topic**: the name by which a topic overrides the setting (` + "`kafka-configs --entity-type topics`" + `). What counts for
  a topic is its own override, else the dynamic setting of the broker, else the dynamic default of all brokers, else
  ` + "`server.properties`" + `, else the default.
- A time in the table is in the unit that its name ends with.
- An unknown key is a warning that names the nearest known one; a bad value is an error that says what is allowed.

Only the settings of the first part do something. Those of the second part are known and checked, so that a file as Kafka
users have it can be used as it is, but **nothing reads them yet**: giving one is a warning that says why. The few marked
*refused* keep the broker from starting, because ignoring them would be unsafe.
`

// Page writes the reference page, docs/settings.md.
func Page(w io.Writer) error {
	var out strings.Builder
	out.WriteString(pageHead)
	out.WriteString("\n## What has an effect\n")
	for _, section := range Settings.Sections() {
		pageSection(&out, section, func(d *setting.Declaration) bool { return d.Effect == setting.Honoured },
			"| Setting | Topic | Type | Default | Allowed | Changes | Meaning |\n|---|---|---|---|---|---|---|\n", honouredRow)
	}
	pageFamilies(&out)
	out.WriteString("\n## Accepted without effect\n")
	for _, section := range Settings.Sections() {
		pageSection(&out, section, func(d *setting.Declaration) bool { return d.Effect != setting.Honoured },
			"| Setting | Topic | Type | Default | Meaning in Kafka | Why not |\n|---|---|---|---|---|---|\n", ignoredRow)
	}
	out.WriteString("\n### Prefixes\n\nAny key that begins so is accepted without effect.\n\n| Prefix | Why not |\n|---|---|\n")
	for _, f := range Settings.Families() {
		if !f.Open() {
			fmt.Fprintf(&out, "| `%s` | %s |\n", f.Prefix, f.Note)
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// pageFamilies writes the prefixes whose keys somebody reads.
func pageFamilies(out *strings.Builder) {
	out.WriteString("\n### By prefix\n\nKeys that begin so are settings too, cluster-wide, and can be changed while the broker runs.\n\n| Prefix | Meaning |\n|---|---|\n")
	for _, f := range Settings.Families() {
		if f.Open() {
			fmt.Fprintf(out, "| `%s` | %s |\n", f.Prefix, cell(f.Doc))
		}
	}
}

// pageSection writes the rows of one section that are chosen; nothing when there are none.
func pageSection(out *strings.Builder, s *setting.Section, chosen func(*setting.Declaration) bool, head string, row func(*setting.Declaration) string) {
	title := fmt.Sprintf("\n### %s\n\n%s\n\n%s", s.Title, s.Doc, head)
	for _, d := range Settings.All() {
		if d.Section == s && !d.Internal && chosen(d) {
			out.WriteString(title + row(d))
			title = ""
		}
	}
}

func honouredRow(d *setting.Declaration) string {
	value := shownDefault(d)
	if d.Kafka != "" {
		value += " (Kafka: " + cell(d.Kafka) + ")"
	}
	changes := d.Dynamic.String()
	if d.Name == "" {
		changes = "per topic"
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s |\n", code(d.Name), code(d.Topic), strings.ToLower(d.Type.String()),
		value, cell(d.Allowed), changes, cell(d.Doc))
}

func ignoredRow(d *setting.Declaration) string {
	why := d.Note
	if d.Effect == setting.Refused {
		why = "*refused*: " + why
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s |\n", code(d.Name), code(d.Topic), strings.ToLower(d.Type.String()),
		shownDefault(d), cell(d.Doc), cell(why))
}

func shownDefault(d *setting.Declaration) string {
	switch {
	case d.Null:
		return "unset"
	case d.Default == "":
		return "empty"
	default:
		return code(d.Default)
	}
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + cell(text) + "`"
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

package command

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/millrace/millrace/cmd/command/kafka"
	"github.com/spf13/cobra"
)

// linkCommand makes the links by whose names the program is Kafka's tools.
func linkCommand(env *environment) *cobra.Command {
	var bare bool
	cmd := &cobra.Command{
		Use:   "link DIR",
		Short: "Make the links kafka-topics, kafka-topics.sh and so on to this program",
		Long: "Make links to this program in DIR, one for each of Kafka's tools that it stands in for, with and without .sh. " +
			"Put DIR on your PATH and scripts made for Kafka run unchanged.",
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			program, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			return link(env.Out, program, args[0], bare)
		},
	}
	cmd.Flags().BoolVar(&bare, "without-sh", false, "make only the names without .sh")
	return cmd
}

// link makes the links, in the place of links of the same names; it touches no other file.
func link(out io.Writer, program, dir string, bare bool) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make links: %w", err)
	}
	var names []string
	for _, tool := range kafka.Tools() {
		names = append(names, tool.Name)
		if !bare {
			names = append(names, tool.Name+".sh")
		}
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		if info, err := os.Lstat(path); err == nil {
			if info.Mode()&os.ModeSymlink == 0 {
				return fmt.Errorf("make links: %s is there already and is not a link", path)
			}
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("make links: %w", err)
			}
		}
		if err := os.Symlink(program, path); err != nil {
			return fmt.Errorf("make links: %w", err)
		}
		fmt.Fprintln(out, path)
	}
	return nil
}

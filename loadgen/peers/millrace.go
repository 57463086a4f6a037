package peers

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// MillraceOptions say which Millrace is started and how.
type MillraceOptions struct {
	Executable string            // Empty: the running program
	Dir        string            // folder for data and output; made when absent
	Settings   map[string]string // of the broker, beyond its defaults
	// Environment is that of the broker's process. Nil: this process's.
	Environment []string
}

// StartMillrace starts a broker as a child process and waits until it answers.
func StartMillrace(ctx context.Context, o MillraceOptions) (*Broker, error) {
	executable := o.Executable
	if executable == "" {
		var err error
		if executable, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("start millrace: %w", err)
		}
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("start millrace: %w", err)
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, fmt.Errorf("start millrace: %w", err)
	}
	b := &Broker{
		Name: "millrace", Address: fmt.Sprintf("127.0.0.1:%d", ports[0]), Admin: fmt.Sprintf("127.0.0.1:%d", ports[1]), Dir: o.Dir, Config: o.Settings,
	}
	command := exec.CommandContext(context.WithoutCancel(ctx), executable, millraceArguments(b, o.Settings)...)
	command.Env = o.Environment
	return start(ctx, b, command)
}

// millraceArguments is the command line of a broker that is to be measured.
func millraceArguments(b *Broker, settings map[string]string) []string {
	all := map[string]string{
		"listeners":      "PLAINTEXT://" + b.Address,
		"admin.listener": b.Admin,
		"log.dirs":       filepath.Join(b.Dir, "data"),
	}
	maps.Copy(all, settings)
	arguments := []string{"serve"}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		arguments = append(arguments, "--override", key+"="+all[key])
	}
	return arguments
}

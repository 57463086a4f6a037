package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/compat/install"
)

// refusal is how the scripts exit when they were not let in.
const refusal = 3

func librdkafka(ctx context.Context, _ *stand, l login) error { return python(ctx, l, "login.py") }

func kafkajs(ctx context.Context, _ *stand, l login) error { return node(ctx, l, "login.js") }

// python runs a script with librdkafka.
func python(ctx context.Context, l login, name string) error {
	sources, err := filepath.Abs("python")
	if err != nil {
		return err
	}
	interpreter, err := install.Python(ctx, sources)
	if err != nil {
		return err
	}
	return script(ctx, l, nil, interpreter, "-u", filepath.Join(sources, name))
}

// node runs a script with KafkaJS.
func node(ctx context.Context, l login, name string) error {
	sources, err := filepath.Abs("js")
	if err != nil {
		return err
	}
	modules, err := install.Node(ctx, sources)
	if err != nil {
		return err
	}
	return script(ctx, l, []string{"NODE_PATH=" + modules}, "node", filepath.Join(sources, name))
}

// script runs a client that is told its login by the environment.
func script(ctx context.Context, l login, environment []string, name string, arguments ...string) error {
	c := exec.CommandContext(ctx, name, arguments...)
	c.WaitDelay = time.Second
	c.Env = append(os.Environ(), "COMPAT_BOOTSTRAP="+l.address, "COMPAT_TOPIC="+l.topic, "COMPAT_MECHANISM="+l.mechanism, "COMPAT_USER="+l.user, "COMPAT_PASSWORD="+l.password)
	c.Env = append(c.Env, environment...)
	output, err := c.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == refusal {
		return errRefused
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(output)))
	}
	return nil
}

package install

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
)

// logging sends what Kafka's Java code warns about to standard error, where it does not mix with reports.
const logging = `<Configuration status="WARN"><Appenders><Console name="E" target="SYSTEM_ERR"><PatternLayout pattern="[%d] %p %m (%c)%n"/></Console></Appenders>
<Loggers><Root level="WARN"><AppenderRef ref="E"/></Root></Loggers></Configuration>
`

// Java is what Kafka's own code needs to run.
type Java struct {
	Dir       string
	ClassPath string
	Logging   string // log4j2 configuration
}

// Kafka fetches the jars that sources/pom.xml names, Kafka's broker and tools among them (about 110 MB).
func Kafka(ctx context.Context, sources string) (Java, error) {
	if err := need("java", "javac", "mvn"); err != nil {
		return Java{}, err
	}
	pom := filepath.Join(sources, "pom.xml")
	dir, err := once("kafka", []string{pom}, func(dir string) error {
		if err := run(ctx, sources, "mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies",
			"-DoutputDirectory="+filepath.Join(dir, "libs")); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, "log4j2.xml"), []byte(logging), 0o644)
	})
	if err != nil {
		return Java{}, err
	}
	jars, err := filepath.Glob(filepath.Join(dir, "libs", "*.jar"))
	if err != nil || len(jars) == 0 {
		return Java{}, fmt.Errorf("no jar in %s", dir)
	}
	sort.Strings(jars) // the archive of shared classes is good for one class path only
	return Java{Dir: dir, ClassPath: strings.Join(jars, ":"), Logging: filepath.Join(dir, "log4j2.xml")}, nil
}

// Compile makes classes of the Java program in sources and answers the class path to run it with.
func Compile(ctx context.Context, java Java, sources string) (string, error) {
	files, err := filepath.Glob(filepath.Join(sources, "*.java"))
	if err != nil || len(files) == 0 {
		return "", fmt.Errorf("no Java source in %s", sources)
	}
	sort.Strings(files)
	classes, err := once("java", append([]string{filepath.Join(sources, "pom.xml")}, files...), func(dir string) error {
		return run(ctx, sources, "javac", append([]string{"-Xlint:all,-processing,-classfile", "-Werror", "-d", dir, "-cp", java.ClassPath}, files...)...)
	})
	if err != nil {
		return "", err
	}
	return classes + ":" + java.ClassPath, nil
}

// Python makes an environment with sources/requirements.txt and answers its interpreter.
func Python(ctx context.Context, sources string) (string, error) {
	if err := need("python3"); err != nil {
		return "", err
	}
	requirements := filepath.Join(sources, "requirements.txt")
	dir, err := once("python", []string{requirements}, func(dir string) error {
		if err := run(ctx, dir, "python3", "-m", "venv", dir); err != nil {
			// Debian keeps the module that makes environments in a package of its own.
			if failed := apt(ctx, "python3-venv"); failed != nil {
				return fmt.Errorf("%w; %w", err, failed)
			}
			if err := run(ctx, dir, "python3", "-m", "venv", "--clear", dir); err != nil {
				return err
			}
		}
		return run(ctx, dir, filepath.Join(dir, "bin", "pip"), "install", "-q", "--disable-pip-version-check", "-r", requirements)
	})
	return filepath.Join(dir, "bin", "python"), err
}

// Node fetches the modules of sources/package-lock.json and answers the folder for NODE_PATH.
func Node(ctx context.Context, sources string) (string, error) {
	if err := need("node", "npm"); err != nil {
		return "", err
	}
	files := []string{filepath.Join(sources, "package.json"), filepath.Join(sources, "package-lock.json")}
	dir, err := once("node", files, func(dir string) error {
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), text, 0o644); err != nil {
				return err
			}
		}
		return run(ctx, dir, "npm", "ci", "--no-audit", "--no-fund")
	})
	return filepath.Join(dir, "node_modules"), err
}

// Kcat finds kcat, or installs it with apt, and answers its path.
func Kcat(ctx context.Context) (string, error) {
	for _, name := range []string{"kcat", "kafkacat"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	if err := apt(ctx, "kcat"); err != nil {
		return "", err
	}
	return exec.LookPath("kcat")
}

// apt installs a Debian package; it needs root.
func apt(ctx context.Context, name string) error {
	if err := need("apt-get"); err != nil {
		return err
	}
	if err := run(ctx, "/", "apt-get", "update", "-qq"); err != nil {
		return err
	}
	return run(ctx, "/", "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", name)
}

package docs

// claims are what makes sure of each block. The first one that fits counts.
var claims = []claim{
	{"README.md", "", " producers ──▶", drawing},
	{"README.md", "sh", "go run ./cmd/millrace serve", firstStart},
	{"README.md", "sh", "go run ./cmd/millrace topics create", firstMinute},

	{"docs/start.md", "sh", "go run ./cmd/millrace serve", firstStart},
	{"docs/start.md", "sh", "mkdir hello", firstProgram}, // with the program and the output below it
	{"docs/start.md", "go", "package main", goPackage()},
	{"docs/start.md", "", "stored at offset 0", within(firstProgram)},

	{"docs/client.md", "go", "", goShown("sdk/client/*_test.go")},
	{"docs/client.md", "properties", "interceptors=hide-cards", maskingProducer},
	{"docs/consumer.md", "go", "", goShown("sdk/client/example_consumer_test.go")},
	{"docs/serializers.md", "go", "", goShown("sdk/serde/example_test.go", "sdk/serde/*/example_test.go")},
	{"docs/kit.md", "go", "", goShown("sdk/kit/docs_test.go")},

	{"docs/plugins.md", "go", "package refuser", goPackage("sdk/chain/example_test.go")},
	{"docs/plugins.md", "go", "func TestTheWordIsRefused", goShown("sdk/chain/example_test.go")},
	// What they make is built and loaded by docs/wasm.md's walk; the module path is nobody's.
	{"docs/plugins.md", "sh", "millrace plugin new refuser", shellParsed},
	{"docs/plugins.md", "sh", "kafka-configs", pluginsByTool},
	{"docs/plugins.md", "properties", "", brokerPlugins},

	{"docs/wasm.md", "rust", "", rustShown("plugins/wasm/guest/rust/src/lib.rs")},
	{"docs/wasm.md", "rust,ignore", "", rustShown("plugins/wasm/guest/rust/src/batch.rs")},
	{"docs/wasm.md", "go", "package dropempty", goPackage()}, // TestTheExampleInGoWorks runs it, as a module too
	{"docs/wasm.md", "properties", "", clientModules},
	{"docs/wasm.md", "indented|sh", "", walked},
	{"docs/wasm.md", "", "", layout},

	{"docs/security.md", "properties", "listeners=", passwords}, // with the two blocks below it
	{"docs/security.md", "sh", "kafka-configs.sh", within(passwords)},
	{"docs/security.md", "properties", "security.protocol", within(passwords)},
	{"docs/security.md", "properties", "authenticators=door", brokerSettings}, // engine/security makes the plugin of it
	{"docs/security.md", "go", "package door", goPackage("engine/security/example_test.go")},

	{"docs/acls.md", "properties", "authorizer.class.name", rules}, // with the lines below it
	{"docs/acls.md", "", "$ millrace acls", within(rules)},
	{"docs/acls.md", "", "level=WARN msg=denied", within(rules)},
	{"docs/acls.md", "go", "package prefixes", goPackage("sdk/authorizer_test.go")},

	{"docs/tuning.md", "sh", "millrace pprof   ", profiles},
	{"docs/tuning.md", "sh", "millrace pprof --profile cpu --out", profiles},
	// It serves pages until it is ended; TestARingIsAddedUp of cmd/pprof reads such a folder.
	{"docs/tuning.md", "sh", "millrace pprof --ring", shellParsed},
	// They measure for many minutes; `.ci/run tune` has the first one find what is planted.
	{"docs/tuning.md", "sh", "millrace tune --workload", shellParsed},
	{"docs/tuning.md", "sh", "millrace tune pgo", shellParsed},
}

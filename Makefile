# Every target is one command that a person would type. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help check fmt lint test race rewrite fuzz fuzz-long compat kill power transact sim sim-mutants hostile compat-both bench bench-peers limits report pgo docs plugins sasl sasl-both sdk sdk-both suites guests tune

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F'\t' '{ printf "  make %-12s %s\n", $$1, $$2 }'

check: ## everything that CI runs, with its totals
	.ci/run

fmt: ## format the Go code
	gofmt -w .

lint: ## golangci-lint, installed on first use
	.ci/run format vet lint

test: ## what the README says
	go test ./...

race: ## all tests with the race detector on
	.ci/run race

rewrite: ## write what the conversations in testdata answer now; then read the diff
	go test $$(grep -rlE 'cockroachdb/datadriven|"rewrite"' --include='*_test.go' cmd diskio engine results sdk | xargs -n1 dirname | sort -u | sed 's|^|./|') -rewrite

fuzz: ## five seconds (FUZZTIME=1m for more) of each decoder's fuzz target
	.ci/run fuzz

fuzz-long: ## ten million blind executions of each fuzz target, hours; goes on where it was stopped, writes docs/fuzz.md; FUZZLONG=… for its options
	go run ./engine/fuzz/run -table docs/fuzz.md $(FUZZLONG)

compat: ## drive the broker with clients that others wrote
	cd engine/compat && go run .

compat-both: ## the same against a real Apache Kafka beside it; writes docs/compatibility.md
	cd engine/compat && go run . -target both

kill: ## kill -9 the broker fifty times under load and count what was acked
	cd engine/compat && go run ./kill

power: ## cut the power of the broker's disk twenty times under load; needs root and loop devices
	cd engine/compat && go run ./power

transact: ## the same two under transactions, 100 and 50 rounds, judged by the history of all of them
	cd engine/compat && go run ./kill -transactions -rounds 100 && go run ./power -transactions -rounds 50

sasl: ## real clients prove who they are, by PLAIN and SCRAM, with right passwords and wrong ones, and do what ACLs allow
	cd engine/compat && go run ./sasl

sasl-both: ## the same, and then against a real Apache Kafka
	cd engine/compat && go run ./sasl -target both

sdk: ## the conformance suites of our own clients, race detector on, against a broker in a process of its own
	cd engine/compat && go run ./sdk

sdk-both: ## the same, and then against a real Apache Kafka
	cd engine/compat && go run ./sdk -target both

suites: ## the tests that franz-go comes with, against a broker in a process of its own; two minutes
	cd engine/compat && go run ./sdk -theirs

plugins: ## what Java and Go clients see of topics with interceptors, and plugins that change under load and kill -9
	cd engine/compat && go run ./plugins

tune: ## does `millrace tune` find the mistakes that are planted? measures for a minute
	.ci/run tune

sim: ## play 10,000 seeds of the simulator; SIM=… for its options
	go run ./engine/sim/run $(SIM)

sim-mutants: ## break the broker in one place after the other; the simulator must find each
	go run ./engine/sim/mutants

hostile: ## what a thousand, or ten thousand, peers that misbehave cost the broker and an honest client
	cd engine/compat && go run ./hostile

bench: ## the one-minute tour of the load generator
	go run ./cmd/millrace bench

bench-peers: ## the same workload against Millrace and a real Apache Kafka
	go run ./cmd/millrace bench peers

limits: ## measure the table of limits, about an hour, 45 GB of disk, and put it into BENCHMARKS.md; LIMITS=… for its options
	go run ./cmd/millrace bench limits --benchmarks BENCHMARKS.md $(LIMITS)

report: ## one HTML page from the newest files in results/
	go run ./cmd/millrace report results

pgo: ## is a build with a profile of `millrace bench` better? measures both in turn, some minutes; PGO=… for its options
	go run ./cmd/millrace tune pgo $(PGO)

docs: ## write docs/settings.md and the tables of the clients from the declarations
	go test ./engine/config -run Docs -rewrite
	go test ./sdk/client -run Docs -rewrite

guests: ## build the WebAssembly modules of the examples in Rust into plugins/wasm/testdata
	cd plugins/wasm/guest/rust && cargo build --release --examples --target wasm32-unknown-unknown
	cd plugins/wasm/guest/rust/target/wasm32-unknown-unknown/release/examples && cp mask.wasm filter.wasm stamp.wasm partitioner.wasm serializer.wasm assignor.wasm producer_interceptor.wasm consumer_interceptor.wasm ../../../../../../testdata/

# Thin on purpose: each target is one program. `make test` is the gate of CI, `make verify` is everything there is.
.PHONY: demo demo-script demo-terminal test verify setup lint unit doc models mutants attack-mutants gallery conformance conformance-server interop sdk browser stampede fuzz ledger vectors bench wasm

demo:        ; @python3 tools/setup.py rust && cargo run -q -p grantway --features axum --example gateway
demo-script: ; @python3 tools/setup.py rust && cargo run -q -p grantway-demo -- gateway
demo-terminal: ; @python3 tools/setup.py rust && cargo run -q -p grantway-demo -- terminal
test:        ; @python3 tools/gate.py test
verify:      ; @python3 tools/gate.py verify
setup:       ; @python3 tools/setup.py all

lint:        ; @python3 tools/gate.py --only lint
unit:        ; @python3 tools/gate.py --only unit
doc:         ; @python3 tools/gate.py --only doc
conformance: ; @python3 tools/gate.py --only conformance
conformance-server: ; @python3 tests/conformance/authorization.py
sdk:         ; @python3 tests/sdk/run.py
interop:     ; @python3 tools/gate.py --only interop
browser:     ; @python3 tools/gate.py --only browser
stampede:    ; @cargo run -q -p grantway-stampede
ledger:      ; @python3 tools/gate.py --only ledger
vectors:     ; @python3 tools/gate.py --only vectors
wasm:        ; @python3 tools/gate.py --only wasm
attack-mutants: ; @python3 tests/attacks/mutants.py
# Attack, its test, what is cut out, red or green. `make gallery ONLY="CON COD"`: those alone.
gallery:     ; @python3 tests/attacks/mutants.py --gallery $(if $(ONLY),--only $(ONLY))
fuzz:        ; @python3 tools/gate.py --only fuzz
bench:       ; @cargo bench -q -p grantway-benches
models:      ; @cargo run -q --release -p grantway-models -- run
mutants:     ; @python3 tests/models/mutants.py

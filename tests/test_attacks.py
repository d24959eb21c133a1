"""Attacks, one row each with the tests that hold it, and those that no other file throws.

A row without a test is an error, and so is a test that no longer exists.
"""

from __future__ import annotations

import ast
from datetime import UTC, datetime
from pathlib import Path

import pytest

import recon_kit as rk
from recon_kit.cli import main
from recon_kit.errors import FileRejectedError, SettingsError
from recon_kit.settings import loads

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TESTS = Path(__file__).resolve().parent
PACKAGE = TESTS.parent / "recon_kit"
BAD_INPUT = "test_ingestion_bad_input.test_the_file_is_refused"

ATTACKS: dict[str, tuple[str, ...]] = {
    "1 an order named like a script, in a chart": (
        "test_present_charts.test_a_script_in_a_value_stays_text",
        "test_safe.test_json_in_a_script_cannot_end_it",
        "test_present_reports.test_a_script_in_a_value_does_not_run_in_a_browser"),
    "2 a page that asks another host": (
        "test_present_charts.test_a_chart_is_drawn_without_a_network",
        "test_present_reports.test_the_weekly_report_opens_offline",
        "test_present_reports.test_the_page_declares_its_policy_language_and_skip_link"),
    "3 a link that is a script": (
        "test_safe.test_only_allowed_hosts_become_links",
        "test_present_charts.test_a_chart_may_not_fetch_data"),
    "4 a script among a notebook's outputs": (
        "test_present_reports.test_outputs_that_are_not_ours_become_text",
        "test_present_reports.test_markdown_keeps_its_words_and_loses_its_scripts",
        "test_present_reports.test_a_forged_mark_does_not_carry_a_script_in"),
    "5 a table renderer that escapes nothing": (
        "test_attacks.test_what_runs_code_or_passes_markup_on_is_never_used",),
    "6 markup passed on by a table": (
        "test_present_tables.test_html_escapes_cells_labels_and_captions",
        "test_attacks.test_what_runs_code_or_passes_markup_on_is_never_used"),
    "7 a column name that is a query": (
        "test_safe.test_a_column_name_is_only_ever_a_name",
        "test_attacks.test_a_header_that_is_a_query_is_a_name"),
    "8 several statements, Python variables, any path as a table": (
        "test_house.test_one_owner_per_heavy_library",
        "test_ledger_engine.test_everything_else_is_refused"),
    "9 reading and writing elsewhere": (
        "test_ledger_engine.test_everything_else_is_refused",
        "test_ledger_engine.test_a_symbolic_link_does_not_lead_out"),
    "10 overwriting a segment": (
        "test_ledger_engine.test_everything_else_is_refused",
        "test_ledger_chain.test_a_flipped_bit_in_any_file_is_found"),
    "11 an extension fetched from the network": ("test_ledger_engine.test_no_socket_is_opened",),
    "12 a parameter name that is code": (
        "test_present_reports.test_a_wrong_parameter_is_refused_before_anything_runs",),
    "13 a parameter that changes its type": (
        "test_present_reports.test_a_parameters_cell_holds_typed_plain_values",
        "test_present_reports.test_values_may_be_optional_lists_and_whole_numbers"),
    "14 an output path that leads out": (
        "test_present_reports.test_outputs_stay_inside_the_reports_folder",
        "test_present_reports.test_an_absolute_path_outside_is_refused"),
    "15 people and secrets in messages, logs and outputs": (
        "test_attacks.test_no_message_repeats_a_value_of_a_row",
        "test_attacks.test_a_secret_in_the_settings_is_not_repeated",
        "test_present_reports.test_a_failed_run_keeps_the_last_good_report",
        "test_present_review.test_the_widget_keeps_nothing_of_a_record_in_its_state",
        "test_present_review.test_a_notebook_keeps_only_how_much_waits"),
    "16 a run that is killed": (
        "test_ledger_crash.test_a_killed_run_stands_as_a_whole_or_not_at_all",
        "test_present_reports.test_a_failed_run_keeps_the_last_good_report"),
    "17 a kernel that anyone on the machine may talk to": (
        "test_attacks.test_the_kernel_of_a_report_is_encrypted",),
    "18 XML that reads files or blows up": (BAD_INPUT,),
    "19 an archive that unpacks to far too much": (BAD_INPUT,),
    "20 settings or models that run code": (
        "test_attacks.test_what_runs_code_or_passes_markup_on_is_never_used",
        "test_settings.test_a_mistake_is_explained",
        "test_matching_probable.test_model_that_was_changed_is_refused"),
    "21 JSON with NaN, repeated keys, bottomless nesting": (
        BAD_INPUT, "test_ingestion_bad_input.test_the_row_is_set_aside"),
    "22 a formula in an export": (
        "test_safe.test_formulas_are_neutralised",
        "test_present_exports.test_a_csv_neutralises_formulas_and_keeps_numbers",
        "test_workbench_labels.test_what_a_spreadsheet_would_run_is_written_as_text"),
    "a hostile file name": ("test_attacks.test_a_hostile_file_name_is_text",),
    "a link in place of a file": ("test_ingestion_bad_input.test_only_a_plain_file_is_taken",),
    "a store that every user may write to": (
        "test_ledger_access.test_a_store_that_everybody_may_write_is_refused",
        "test_ledger_access.test_a_new_store_is_closed_to_others_whatever_the_umask"),
    "a source whose name is a path": ("test_attacks.test_a_source_is_no_path",),
    "hostile text on the review screen": ("test_present_review.test_hostile_text_stays_text",),
}  # fmt: skip


def test_every_attack_has_a_test_that_exists():
    """22 attacks that were once carried out, and more; none stands without a test."""
    numbers = {int(name.split()[0]) for name in ATTACKS if name[0].isdigit()}
    missing = [
        (attack, test)
        for attack, tests in ATTACKS.items()
        for test in tests or ("none",)
        if test.rpartition(".")[2] not in functions_of(test.partition(".")[0])
    ]

    assert numbers == set(range(1, 23))
    assert missing == []


def functions_of(module):
    """Names of the tests in a file; none where it does not exist."""
    path = TESTS / f"{module}.py"
    tree = ast.parse(path.read_text(encoding="utf-8") if path.exists() else "")
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_what_runs_code_or_passes_markup_on_is_never_used():
    """No pickle, no YAML, no `eval`, no renderer that lets markup of the data through."""
    modules = {"pickle", "joblib", "yaml", "shelve", "marshal", "dill", "cloudpickle", "pandas"}
    calls = {"eval", "exec", "md", "fmt_markdown", "Styler", "extractall", "read_pickle"}
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name.split(".")[0] for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [(node.module or "").split(".")[0]]
            if set(names) & modules:
                found.append((path.name, node.lineno, names))
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if name in calls or (name == "to_html" and isinstance(node.func, ast.Attribute)):
                    found.append((path.name, node.lineno, [name]))

    assert found == []


LEAK = "x\" , (select content from read_text('/etc/passwd')) as \"leak"


def test_a_header_that_is_a_query_is_a_name(shop):
    """Columns named like SQL are read as the columns they are, by settings that name them."""
    text = (shop / "recon.toml").read_text(encoding="utf-8")
    name = LEAK.replace("\\", "\\\\").replace('"', '\\"')
    text = text.replace('email = "E-mail"', f'"raw_keys.{name}" = "{name}"')
    (shop / "recon.toml").write_text(text, encoding="utf-8")
    header = '"' + LEAK.replace('"', '""') + '"'
    (shop / "evil.csv").write_text(
        f"Receipt,Day,Total,{header},'; drop table events; --\n#1,2026-11-02,1.00,kept,x\n",
        encoding="utf-8",
    )
    bench = rk.Workbench(shop, clock=lambda: NOW)
    bench.ingest("till", shop / "evil.csv")

    with bench.store.snapshot().engine() as engine:
        told = engine.rows("select raw_keys from events").item()
    assert "kept" in told
    assert "root:" not in told
    assert bench.profile("till").frame["events"].to_list() == [1]


@pytest.mark.parametrize(
    "name",
    ["<img src=x onerror=alert(1)>.csv", "'; drop table artefacts; --.csv", "=1+1.csv",
     "..csv", "%2e%2e%2fx.csv", "a\nb.csv"],
)  # fmt: skip
def test_a_hostile_file_name_is_text(shop, name):
    """A name is kept as it is, found again by it, and shown as text."""
    path = shop / name
    path.write_text("Receipt,Day,Total,E-mail\n#1,2026-11-02,1.00,\n", encoding="utf-8")
    bench = rk.Workbench(shop, clock=lambda: NOW)
    receipt = bench.ingest("till", path)
    traced = bench.trace(name)

    assert bench.store.artefacts()["name"].to_list() == [name]
    assert traced.frame.height == 1
    for view in (receipt, traced):
        assert "<img" not in view._repr_mimebundle_()["text/html"]
    assert sorted(p.name for p in (shop / "store" / "raw").iterdir()) == [
        bench.store.artefacts()["sha256"].item()
    ]


SECRETS = ("ana@example.com", "4242424242424242", "Diaz", "12 Main Street")
ROWS = """Receipt,Day,Total,E-mail
#1,2026-11-02,4242424242424242424242,ana@example.com
#2,ana@example.com,1.00,Ana Diaz
#3,2026-11-02,12 Main Street,ana@example.com
#4,2026-11-02,1.00,ana@example.com,4242424242424242
"""


def test_no_message_repeats_a_value_of_a_row(shop, capsys):
    """Receipts, errors and profiles name rows, columns and reasons, never what stood there."""
    (shop / "rows.csv").write_text(ROWS, encoding="utf-8")
    headless = ROWS.partition("\n")[2]
    (shop / "headless.csv").write_text(headless, encoding="utf-8")
    said = []
    for command in (
        ("ingest", "till", shop / "rows.csv"), ("ingest", "till", shop / "headless.csv"),
        ("trace", "rows.csv"), ("profile", "till"), ("ingest", "till", shop / "rows.csv", "--json"),
    ):  # fmt: skip
        with pytest.raises(SystemExit):
            main([str(a) for a in (*command, "-w", shop)])
        out, err = capsys.readouterr()
        said.append(out + err)

    told = "\n".join(said)
    assert "4 records = 0 accepted + 0 duplicate + 0 conflict + 4 quarantined + 0 blank." in told
    assert "[row_long] the row has 5 fields where the header has 4" in told
    assert "its first row seems to be data: is the header missing?" in told
    assert [word for word in SECRETS if word in told] == []
    assert "Traceback" not in told


def test_an_error_in_a_notebook_carries_no_value(shop):
    """What a traceback prints of a refused file is its message alone."""
    (shop / "headless.csv").write_text(ROWS.partition("\n")[2], encoding="utf-8")
    with pytest.raises(FileRejectedError) as refusal:
        rk.Workbench(shop, clock=lambda: NOW).ingest("till", shop / "headless.csv")

    assert [word for word in SECRETS[:1] if word in str(refusal.value)] == []
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize(
    "line",
    [
        'password = "hunter2"',
        'currency = ["hunter2"]',
        'timezone = "hunter2\n"',
        'token = "hunter2',
    ],
)
def test_a_secret_in_the_settings_is_not_repeated(line):
    """An error names the key that is wrong, not what somebody wrote behind it."""
    with pytest.raises(SettingsError) as refusal:
        loads(f'[workspace]\nname = "a"\n{line}\n')

    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a b", "A", "x;drop", ""])
def test_a_source_is_no_path(name):
    """Names of sources are small words: they become parts of ids and of files."""
    with pytest.raises(SettingsError, match="String should match pattern"):
        loads(f'[workspace]\nname = "a"\n[[sources]]\nname = "{name}"\nfeed = "table"\n')


def test_the_kernel_of_a_report_is_encrypted():
    """What the kernel and the runner say to one another cannot be read by others."""
    text = (PACKAGE / "present" / "reports.py").read_text(encoding="utf-8")

    assert 'KernelManager.transport_encryption = "auto"' in text

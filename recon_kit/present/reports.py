"""Reports: a notebook is executed by papermill and becomes one HTML file that needs no network.

The file appears under its name only when everything went well; a failed run leaves the last good
report in place and its own notebook beside it. The page holds HTML of our own renderers, markdown
of the notebook, and all else as text; its policy lets no script run and nothing be fetched.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat

from recon_kit import errors
from recon_kit.errors import ReconError, ReportError
from recon_kit.present import show
from recon_kit.present.parameters import Parameter, Value, checked, declared
from recon_kit.safe import escape_html

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'none'; "
    "base-uri 'none'; form-action 'none'"
)
_format: Any = nbformat  # its functions carry no types
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def parameters_of(notebook: Path) -> dict[str, Parameter]:
    """What a report's notebook declares, by name; see `parameters.declared`."""
    return declared(_read(notebook), notebook.name)


def render(  # noqa: PLR0913 - the limits have defaults; four things make a report
    notebook: Path,
    parameters: Mapping[str, Value],
    out: Path,
    *,
    folder: Path,
    title: str | None = None,
    seconds_max: int = 900,
    kernel: str = "python3",
    made_from: str = "",
) -> Path:
    """Execute a notebook and write it as one HTML file.

    Args:
        notebook: the report's notebook; it is never written to.
        parameters: typed values for the notebook's declared parameters.
        out: the HTML file, inside `folder`; a relative path starts there. Braces in it mean
            themselves.
        folder: the reports folder, which outputs may not leave.
        title: title of the page; by default the notebook's metadata, else its name.
        seconds_max: limit for each cell.
        kernel: name of the Jupyter kernel.
        made_from: a hash of everything the numbers come from. The page keeps it, together with
            the notebook's and the parameters'; a page made from the same is not made again.

    Returns:
        The path of the HTML file.

    Raises:
        ParameterError: a parameter is unknown, missing, untagged, or of the wrong type.
        ReportError: the path leaves the folder, or the run failed; the last good report stays,
            and the failed notebook is kept beside it as `<name>.failed.ipynb`.
    """
    target = _inside(folder, out)
    source = _read(notebook)
    values = checked(parameters, declared(source, notebook.name), notebook.name)
    stamp = _stamp(source, values, made_from) if made_from else ""
    if stamp and _is_made_from(target, stamp):
        return target
    failed = target.with_suffix(".failed.ipynb")
    target.parent.mkdir(parents=True, exist_ok=True)
    with _workplace(target.parent) as place:
        executed = place / "executed.ipynb"
        try:
            _execute(notebook, values, executed, seconds_max, kernel)
        except ReportError as why:
            kept = _keep_failed(executed, failed)
            last = "the last good report is still in place" if target.exists() else "no report yet"
            raise ReportError(f"{notebook.name}: {why}; {last}{kept}") from None
        run = _format.read(executed, as_version=4)
        page = to_html(run, title or _title(source, notebook), stamp)
        _publish(page, place / "page.html", target)
    failed.unlink(missing_ok=True)
    return target


def to_html(executed: nbformat.NotebookNode, title: str, stamp: str = "") -> str:
    """An executed notebook as one self-contained page without scripts.

    Outputs that our renderers marked are embedded; every other output, and any HTML written into
    markdown, becomes escaped text. `stamp` is kept in the head, to tell what it was made from.
    """
    import nbconvert
    from traitlets.config import Config

    # Not the exporter for HTML: it parses the finished page once more and writes it anew.
    exporter: Any = nbconvert.TemplateExporter  # untyped as well
    config = Config()
    config.TemplateExporter.template_name = "recon"
    config.TemplateExporter.extra_template_basedirs = [str(show.TEMPLATES)]
    config.TemplateExporter.file_extension = ".html"
    config.TemplateExporter.exclude_input = True
    config.TemplateExporter.exclude_output_prompt = True
    made: Any = exporter(config=config)
    made.register_filter("prose", prose)
    told = {"title": title, "policy": POLICY, "lang": "en", "stamp": stamp}
    page, _ = made.from_notebook_node(cleaned(executed), resources={"recon": told})
    return str(page)


def prose(markdown: str) -> str:
    """Markdown as HTML: raw HTML in it becomes text, links keep no scheme that runs."""
    from nbconvert.filters import markdown_mistune

    render_html: Any = markdown_mistune.IPythonRenderer
    reader: Any = markdown_mistune.MarkdownWithMath
    renderer = render_html(escape=True, allow_harmful_protocols=False, exclude_anchor_links=True)
    page = str(reader(renderer=renderer).render(markdown))
    if show.forbidden(page, prose=True):
        return f'<pre class="plain">{escape_html(markdown)}</pre>'
    return page


def cleaned(executed: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy whose outputs are each either HTML that is ours or plain text."""
    cells = []
    for cell in executed.cells:
        copy = _format.from_dict(dict(cell))
        if cell.cell_type == "code":
            copy.outputs = [
                _format.v4.new_output("display_data", data=data)
                for data in map(_shown, cell.outputs)
                if data
            ]
        # Attachments are images by somebody else: a report holds charts of ours only.
        copy.pop("attachments", None)
        cells.append(copy)
    return _as_node(_format.v4.new_notebook(cells=cells, metadata={}))


def _shown(output: Mapping[str, Any]) -> dict[str, str]:
    """One output as `text/html` if it is ours, else as `text/plain`, else nothing."""
    data: Mapping[str, Any]
    if output["output_type"] == "stream":
        data = {show.TEXT: output["text"]}
    elif output["output_type"] == "error":
        data = {show.TEXT: str(output["ename"])}
    else:
        data = {
            kind: "".join(v) if isinstance(v, list) else v for kind, v in output["data"].items()
        }
    ours = show.verified(data)
    if ours is not None:
        return {show.HTML: ours}
    text = _ANSI.sub("", str(data.get(show.TEXT, ""))).strip("\n")
    return {show.TEXT: text} if text.strip() else {}


def _execute(
    notebook: Path, values: Mapping[str, Any], executed: Path, seconds_max: int, kernel: str
) -> None:
    """Run the notebook; any failure becomes a `ReportError` that names the cell, not values."""
    import papermill
    from papermill.exceptions import PapermillException, PapermillExecutionError
    from traitlets.config import Config

    config = Config()
    # What passes between us and the kernel is encrypted where the kernel knows how; without it
    # every start is told on stderr to be open to other users of this machine.
    config.KernelManager.transport_encryption = "auto"
    try:
        papermill.execute_notebook(
            _literal(notebook), _literal(executed), parameters=dict(values), kernel_name=kernel,
            language="python", progress_bar=False, log_output=False, start_timeout=120,
            execution_timeout=seconds_max, config=config,
        )  # fmt: skip
    except PapermillExecutionError as why:
        # Our own errors carry ids and remedies; what others say may carry values of a row.
        ours = f": {why.evalue}" if why.ename in _our_errors() else ""
        raise ReportError(f"cell {why.cell_index} failed with {why.ename}{ours}") from None
    except TimeoutError:
        raise ReportError(f"a cell took longer than {seconds_max} s") from None
    except (PapermillException, RuntimeError, KeyError, OSError) as why:
        told = getattr(why, "strerror", None)  # such as a full disk; other texts may carry values
        named = f"{type(why).__name__}: {told}" if told else type(why).__name__
        raise ReportError(f"the notebook could not be run ({named})") from None


def _literal(path: Path) -> str:
    """A path for papermill, which fills `{name}` in paths with parameters: braces are doubled."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _our_errors() -> set[str]:
    found, open_classes = set(), [ReconError]
    while open_classes:
        kind = open_classes.pop()
        found.add(kind.__name__)
        open_classes += kind.__subclasses__()
    return found | {name for name in dir(errors) if name.endswith("Error")}


def _stamp(source: nbformat.NotebookNode, values: Mapping[str, Any], made_from: str) -> str:
    cells = [(cell.cell_type, cell.source) for cell in source.cells]
    layout = [p.read_text(encoding="utf-8") for p in sorted(show.TEMPLATES.glob("*/*"))]
    told = json.dumps([cells, dict(values), layout, made_from], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def _is_made_from(page: Path, stamp: str) -> bool:
    """Whether a page stands there and its head carries this stamp."""
    if not page.is_file():
        return False
    with page.open(encoding="utf-8", errors="replace") as file:
        return f'name="made-from" content="{stamp}"' in file.read(2000)


def _inside(folder: Path, out: Path) -> Path:
    """The output path, resolved, if it stays in the reports folder."""
    root = folder.resolve()
    target = (root / out).resolve()
    if not target.is_relative_to(root) or target == root:
        raise ReportError(f"{out} lies outside the reports folder; name a file inside it")
    if target.suffix != ".html":
        raise ReportError(f"{out.name}: a report is written as .html")
    return target


def _read(notebook: Path) -> nbformat.NotebookNode:
    try:
        return _as_node(_format.read(notebook, as_version=4))
    except FileNotFoundError:
        raise ReportError(f"there is no notebook {notebook.name}") from None
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, AttributeError) as why:
        raise ReportError(f"{notebook.name} is no notebook ({type(why).__name__})") from None


def _as_node(value: Any) -> nbformat.NotebookNode:
    if not isinstance(value, nbformat.NotebookNode):
        raise TypeError("nbformat gave no notebook")
    return value


def _title(source: nbformat.NotebookNode, notebook: Path) -> str:
    return str(source.metadata.get("title") or notebook.stem.replace("_", " "))


@contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    """A hidden folder on the same file system, so that publishing is a rename."""
    place = Path(tempfile.mkdtemp(prefix=".render-", dir=folder))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _publish(page: str, draft: Path, target: Path) -> None:
    with draft.open("w", encoding="utf-8") as file:
        file.write(page)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(target)


def _keep_failed(executed: Path, failed: Path) -> str:
    """Move a failed notebook beside the report, readable by its owner alone; says where."""
    if not executed.exists():
        return ""
    executed.chmod(0o600)
    executed.replace(failed)
    return f"; the failed run is kept as {failed.name}"

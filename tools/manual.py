#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes bodegactl's man page and shell completions of what it says itself: `bodegactl --help` and `bodegactl COMMAND
--help` are the one source. With --check it says which files are not what it would write."""

import argparse
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SERVICES = ("gateway", "users", "products", "orders", "payments")
VALUES = {"FORMAT": ("table", "json"), "ROLE": ("customer", "seller", "support", "admin")}
FILES = ("FILE", "DIR")


class Option:
    def __init__(self, short, name, argument, optional, text):
        self.short, self.name, self.argument, self.optional, self.text = short, name, argument, optional, text


class Command:
    def __init__(self, name, summary, told):
        self.name, self.summary = name, summary
        self.usage = re.match(r"Usage: bodegactl \w+ ?(.*)\n", told).group(1)
        head, _, self.text = told.partition("\n\n")
        self.options = []
        for line in head.splitlines()[1:]:
            found = re.match(r"  (?:-(.), |    )--([\w-]+)(\[?)[= ]?(?:([A-Z_]+)\]?)?  +(.*)", line)
            if found:
                short, name, bracket, argument, text = found.groups()
                self.options.append(Option(short, name, argument, bracket == "[", text))
            else:
                self.options[-1].text += " " + line.strip()
        first = self.usage.split(" ")[0]
        self.actions = first.split("|") if "|" in first else []

    def words(self):
        return self.actions or (list(SERVICES) if "SERVICE" in self.usage else [])


def read_program(program):
    def help_of(*words):
        return subprocess.run([program, *words, "--help"], check=True, capture_output=True, text=True).stdout

    told = help_of()
    version = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout.split()[1]
    commands = [Command(name, summary, help_of(name)) for name, summary in re.findall(r"^  (\w+) +(.*)$", told, re.M)]
    statuses = re.search(r"^Exit status: (.*)\.$", told, re.M).group(1)
    return version, commands, statuses


# ---- the man page ----


def roff(text):
    return "\n".join("\\&" + line if line.startswith((".", "'")) else line
                     for line in text.replace("\\", "\\e").replace("-", "\\-").splitlines())


def man_page(version, commands, statuses):
    lines = [
        '.\\" SPDX-License-Identifier: Apache-2.0',
        '.\\" Made by tools/manual.py of what bodegactl says itself.',
        f'.TH BODEGACTL 1 "" "Bodega {version}" "Bodega"',
        ".SH NAME", "bodegactl, kubectl\\-bodega \\- the operators' tool of the shop Bodega",
        ".SH SYNOPSIS", ".B bodegactl", "\\fICOMMAND\\fR [\\fIOPTION\\fR...]", ".br", ".B kubectl bodega",
        "[\\fB\\-n\\fR \\fINAMESPACE\\fR] [\\fB\\-\\-release\\fR \\fINAME\\fR] \\fICOMMAND\\fR [\\fIOPTION\\fR...]",
        ".SH DESCRIPTION",
        "bodegactl looks after the databases, the events and the instances of a shop. It takes its configuration from the",
        "environment, by the services' own names, or from the files that \\fINAME\\fR_FILE name. As kubectl's plugin it finds a",
        "release's pods by their labels and runs in them, with kubectl's configuration and rights.",
        ".SH COMMANDS",
    ]
    for command in commands:
        lines += [f".SS bodegactl {command.name} {roff(command.usage)}", roff(command.summary[0].upper() + command.summary[1:] + ".")]
        for option in command.options:
            short = f"\\fB\\-{option.short}\\fR, " if option.short else ""
            value = f"=\\fI{option.argument}\\fR" if option.argument else ""
            lines += [".TP", f"{short}\\fB\\-\\-{roff(option.name)}\\fR{'[' + value + ']' if option.optional else value}", roff(option.text)]
        if command.text.strip():
            lines += [".PP", ".nf", roff(command.text.strip("\n")), ".fi"]
    lines += [".SH EXIT STATUS"]
    for number, meaning in re.findall(r"(\d+) ([^,]+)", statuses):
        lines += [".TP", f".B {number}", meaning]
    lines += [".SH SEE ALSO", "docs/operations.md, docs/kubernetes.md, \\fBkubectl\\fR(1)"]
    return "\n".join(lines) + "\n"


# ---- completions ----


def bash(commands):
    cases = []
    for command in commands:
        options = " ".join(f"--{option.name}" for option in command.options)
        cases.append(f'\t{command.name}) words="{" ".join(command.words())}" options="{options}" ;;')
    names = " ".join(command.name for command in commands)
    values = "\n".join(f'\t{"|".join(sorted({o for c in commands for o in options_taking(c, kind)}))})\n'
                       f'\t\tmapfile -t COMPREPLY < <(compgen -W "{" ".join(of)}" -- "$word")\n\t\treturn\n\t\t;;'
                       for kind, of in VALUES.items())
    files = "|".join(sorted({o for c in commands for kind in FILES for o in options_taking(c, kind)}))
    return f"""# SPDX-License-Identifier: Apache-2.0
# bash completion for bodegactl; made by tools/manual.py of what bodegactl says itself.
_bodegactl() {{
	local word=$2 previous=$3 words="" options=""
	COMPREPLY=()
	case $previous in
{values}
	{files})
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	esac
	if [ "$COMP_CWORD" -eq 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "{names} --help --version" -- "$word")
		return
	fi
	case ${{COMP_WORDS[1]}} in
{chr(10).join(cases)}
	esac
	case $word in
	-*) mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word") ;;
	*) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word") ;;
	esac
}}
complete -F _bodegactl bodegactl
"""


def options_taking(command, kind):
    for option in command.options:
        if option.argument == kind:
            yield f"--{option.name}"
            if option.short:
                yield f"-{option.short}"


def zsh(commands):
    quoted = lambda text: text.replace("'", "'\\''").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")
    parts = []
    for command in commands:
        lines = []
        for option in command.options:
            names = f"(-{option.short} --{option.name})" + f"'{{-{option.short},--{option.name}}}'" if option.short not in (None, "?") else f"--{option.name}"
            value = ""
            if option.argument:
                of = f"({' '.join(VALUES[option.argument])})" if option.argument in VALUES else "_files" if option.argument in FILES else " "
                value = f"{':' if option.optional else ''}:{option.argument}:{of}"
            lines.append(f"'{names}[{quoted(option.text)}]{value}'")
        if command.words():
            lines.append(f"'*::({' '.join(command.words())})'".replace("*::", "*:word:"))
        parts.append(f"\t{command.name})\n\t\t_arguments " + " \\\n\t\t\t".join(lines) + "\n\t\t;;")
    names = "\n".join(f"\t\t'{command.name}:{quoted(command.summary)}'" for command in commands)
    return f"""#compdef bodegactl
# SPDX-License-Identifier: Apache-2.0
# zsh completion for bodegactl; made by tools/manual.py of what bodegactl says itself.
local -a commands
if ((CURRENT == 2)); then
	commands=(
{names}
	)
	_describe command commands
	return
fi
shift words
((CURRENT--))
case $words[1] in
{chr(10).join(parts)}
esac
"""


def main():
    parser = argparse.ArgumentParser(prog="manual", description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=os.path.join(ROOT, "build/release/bin/bodegactl"), help="the bodegactl to ask")
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 when a file is not up to date")
    options = parser.parse_args()
    version, commands, statuses = read_program(options.program)
    stale = []
    for path, text in (("docs/bodegactl.1", man_page(version, commands, statuses)),
                       ("docs/completion/bodegactl.bash", bash(commands)), ("docs/completion/_bodegactl", zsh(commands))):
        whole = os.path.join(ROOT, path)
        if options.check:
            if not os.path.exists(whole) or open(whole, encoding="utf-8").read() != text:
                stale.append(path)
            continue
        os.makedirs(os.path.dirname(whole), exist_ok=True)
        with open(whole, "w", encoding="utf-8") as file:
            file.write(text)
    if stale:
        print(f"manual: not what bodegactl says: {', '.join(stale)}; tools/manual.py makes them", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())

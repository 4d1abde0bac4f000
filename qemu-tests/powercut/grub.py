# SPDX-License-Identifier: Apache-2.0
"""Runs the grub.cfg that stands on the ESP, as far as our scripts go, and tells which kernel it starts and what it writes before.

Language and commands: GNU GRUB manual 2.06, "Shell-like scripting", test, load_env, save_env. What is not known here raises Unsupported:
a checker that guesses proves nothing.
"""
import functools
import re

HEADER = b"# GRUB Environment Block\n"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[?0-9#@*]")
KEYWORDS = {"if", "then", "elif", "else", "fi", "while", "until", "for", "in", "do", "done", "function", "{", "}"}


class Unsupported(Exception):
    pass


class _End(Exception):
    """The script's last word."""


class _Return(Exception):
    """Out of a function."""


class Words(list):
    """The parts of one word: (text, is quoted, is variable)."""


def tokenize(text):
    """Lines of tokens: a token is Words, or ';' (also for the end of a line)."""
    tokens, word, i, quoted = [], None, 0, False

    def add(part, is_quoted, is_variable=False):
        nonlocal word
        word = Words() if word is None else word
        word.append((part, is_quoted, is_variable))

    def end():
        nonlocal word
        if word is not None:
            tokens.append(word)
        word = None

    while i < len(text):
        c = text[i]
        if c == "$":
            match = re.compile(r"\$(?:\{([^}]*)\}|(\w+|\?))").match(text, i)
            if not match:
                raise Unsupported(f"lone $ in {text[i:i+20]!r}")
            add(match[1] or match[2], quoted, True)
            i = match.end()
            continue
        if quoted:
            if c == '"':
                quoted = False
            elif c == "\\" and text[i + 1 : i + 2] in ('"', "$", "\\"):
                i += 1
                add(text[i], True)
            else:
                add(c, True)
        elif c == '"':
            quoted = True
            add("", True)
        elif c == "'":
            close = text.index("'", i + 1)
            add(text[i + 1 : close], True)
            i = close
        elif c == "\\":
            i += 1
            if text[i] != "\n":
                add(text[i], True)
        elif c == "#" and word is None:
            i = text.find("\n", i)
            if i < 0:
                break
            continue
        elif c in ";\n":
            end()
            tokens.append(";")
        elif c in " \t":
            end()
        elif c in "&|<>()":
            raise Unsupported(f"{c!r} in a script")
        else:
            add(c, False)
        i += 1
    if quoted:
        raise Unsupported("a quote without its end")
    end()
    tokens.append(";")
    return tokens


def plain(token):
    """The text of a word that is a plain literal, else None."""
    if token == ";" or any(is_quoted or is_variable for _, is_quoted, is_variable in token):
        return None
    return "".join(part for part, _, _ in token)


class Parser:
    """Tokens → nested lists: ("command", words), ("if", [(condition, body)…], otherwise), ("while", is_until, condition, body), ("for", …), ("function", …)."""

    def __init__(self, tokens):
        self.tokens, self.at = tokens, 0

    def peek(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def word(self):
        token = self.peek()
        return plain(token) if token not in (None, ";") else None

    def expect(self, text):
        self.skip()
        if self.word() != text:
            raise Unsupported(f"'{text}' expected, found {self.peek()}")
        self.at += 1

    def skip(self):
        while self.peek() == ";":
            self.at += 1

    def block(self, *ends):
        body = []
        while True:
            self.skip()
            if self.peek() is None:
                if ends:
                    raise Unsupported(f"end of the script, {ends} expected")
                return body
            if self.word() in ends:
                return body
            body.append(self.statement())

    def statement(self):
        word = self.word()
        if word == "if":
            return self.if_statement()
        if word in ("while", "until"):
            self.at += 1
            condition = self.block("do")
            self.expect("do")
            body = self.block("done")
            self.expect("done")
            return "while", word == "until", condition, body
        if word == "for":
            return self.for_statement()
        if word == "function":
            self.at += 1
            name = self.word()
            self.at += 1
            self.expect("{")
            body = self.block("}")
            self.expect("}")
            return "function", name, body
        if word in KEYWORDS:
            raise Unsupported(f"'{word}' where a command begins")
        words = []
        while self.peek() not in (None, ";"):
            words.append(self.peek())
            self.at += 1
        return "command", words

    def if_statement(self):
        branches, otherwise = [], []
        self.at += 1
        while True:
            condition = self.block("then")
            self.expect("then")
            branches.append((condition, self.block("elif", "else", "fi")))
            word = self.word()
            self.at += 1
            if word == "else":
                otherwise = self.block("fi")
                self.expect("fi")
            if word in ("else", "fi"):
                return "if", branches, otherwise

    def for_statement(self):
        self.at += 1
        name = self.word()
        self.at += 1
        self.expect("in")
        words = []
        while self.peek() != ";":
            words.append(self.peek())
            self.at += 1
        self.expect("do")
        body = self.block("done")
        self.expect("done")
        return "for", name, words, body


@functools.lru_cache(maxsize=4096)
def parse(text):
    """The statements of a script's bytes."""
    return Parser(tokenize(text.decode("latin-1"))).block()


def env_lines(block):
    """The variables of an environment block, as GRUB's reader takes them; None when it refuses the block."""
    if not block.startswith(HEADER):
        return None
    found = {}
    for line in block[len(HEADER) :].split(b"\n"):
        if line and not line.startswith(b"#") and b"=" in line:
            name, _, value = line.partition(b"=")
            found[name.decode("latin-1")] = value.decode("latin-1")
    return found


def env_set(block, values):
    """The block after save_env, or None when it does not fit. GRUB replaces lines in place and takes or gives '#' at the end."""
    lines = block[len(HEADER) :].rstrip(b"#").split(b"\n")
    for name, value in values.items():
        wanted = f"{name}={value}".encode("latin-1")
        at = next((i for i, line in enumerate(lines) if line.startswith(name.encode() + b"=")), None)
        if at is None:
            lines.insert(len(lines) - 1, wanted)
        else:
            lines[at] = wanted
    text = HEADER + b"\n".join(lines)
    return text.ljust(len(block), b"#") if len(text) <= len(block) else None


class Script:
    """One start of GRUB. `read(path)` gives a file's bytes or None. After run(): `started` (kernel, initrd, command line) or None,
    `ended` ("boot", "reboot", "prompt"), `writes` {path: bytes}, `can_write` false models a medium that cannot be written."""

    STEPS = 20000

    def __init__(self, read, *, can_write=True):
        self.read, self.can_write = read, can_write
        self.variables, self.functions, self.writes = {}, {}, {}
        self.kernel = self.initrd = None
        self.started, self.ended = None, "prompt"
        self.status, self.steps, self.depth = 0, 0, 0

    def file(self, path):
        path = re.sub(r"^\(.*?\)", "", path)
        return self.writes[path] if path in self.writes else self.read(path)

    def run(self, path):
        text = self.file(path)
        try:
            if text is not None:
                self.execute(parse(text))
        except _End as end:
            self.ended = str(end)
        return self

    def expand(self, words):
        found = []
        for word in words:
            fields, any_quoted = [""], False
            for part, is_quoted, is_variable in word:
                any_quoted |= is_quoted
                text = self.value(part) if is_variable else part
                if is_variable and not is_quoted:
                    pieces = text.split(" ")
                    fields[-1] += pieces[0]
                    fields += pieces[1:]
                else:
                    fields[-1] += text
            found += fields if any_quoted and len(fields) == 1 else [field for field in fields if field]
        return found

    def value(self, name):
        return str(self.status) if name == "?" else self.variables.get(name, "")

    def execute(self, body):
        for node in body:
            self.steps += 1
            if self.steps > self.STEPS:
                raise _End("loop")
            getattr(self, "do_" + node[0])(*node[1:])

    def holds(self, condition):
        self.execute(condition)
        return self.status == 0

    def do_if(self, branches, otherwise):
        for condition, body in branches:
            if self.holds(condition):
                return self.execute(body)
        self.status = 0
        return self.execute(otherwise)

    def do_while(self, is_until, condition, body):
        while self.holds(condition) != is_until:
            self.execute(body)

    def do_for(self, name, words, body):
        for value in self.expand(words):
            self.variables[name] = value
            self.execute(body)

    def do_function(self, name, body):
        self.functions[name] = body

    def do_command(self, words):
        argv = self.expand(words)
        if not argv:
            return
        if argv[0] in self.functions:
            saved = {key: self.variables.get(key, "") for key in "123456789"}
            self.variables.update({key: argv[int(key)] if int(key) < len(argv) else "" for key in "123456789"})
            try:
                self.status = 0
                self.execute(self.functions[argv[0]])
            except _Return:
                pass
            self.variables.update(saved)
            return
        name = {"[": "test", ".": "source"}.get(argv[0], argv[0])
        if "=" in name and NAME.match(name):
            name, argv = "set", ["set", *argv]
        command = getattr(self, "run_" + name, None)
        if command is None and self.depth == 0:
            raise Unsupported(f"command {argv[0]}")
        if command is None:  # damaged data in a sourced file; GRUB: can't find command
            self.status = 127
            return
        result = command(argv[1:-1] if argv[0] == "[" else argv[1:])
        self.status = 0 if result in (True, None) else 1

    def run_set(self, arguments):
        for argument in arguments:
            name, _, value = argument.partition("=")
            self.variables[name] = value

    def run_unset(self, names):
        for name in names:
            self.variables.pop(name, None)

    def quiet(self, _):
        """Has no effect on what is started."""

    run_export = run_echo = run_sleep = run_serial = run_terminal_input = run_terminal_output = run_terminal = run_insmod = run_true = run_clear = quiet

    def run_false(self, _):
        return False

    def run_return(self, arguments):
        self.status = int(arguments[0]) if arguments else self.status
        raise _Return

    def run_reboot(self, _):
        raise _End("reboot")

    def run_halt(self, _):
        raise _End("halt")

    def run_source(self, arguments):
        text = self.file(arguments[0])
        if text is None:
            return False
        try:
            body = parse(text)
        except Unsupported:
            return False  # a syntax error; nothing of the file runs
        self.status = 0
        self.depth += 1
        self.execute(body)
        self.depth -= 1
        return self.status == 0

    run_configfile = run_source

    def envblock(self, arguments):
        path, names = None, []
        arguments = list(arguments)
        while arguments:
            word = arguments.pop(0)
            if word in ("-f", "--file"):
                path = arguments.pop(0)
            elif word.startswith("--file="):
                path = word[7:]
            elif word not in ("-s", "--skip-sig"):
                names.append(word)
        if path is None:
            raise Unsupported("load_env and save_env without --file")
        return path, names

    def run_load_env(self, arguments):
        path, names = self.envblock(arguments)
        found = env_lines(self.file(path) or b"")
        if found is None:
            return False
        self.variables.update({name: value for name, value in found.items() if not names or name in names})
        return True

    def run_save_env(self, arguments):
        path, names = self.envblock(arguments)
        block = self.file(path)
        if block is None or env_lines(block) is None or not self.can_write:
            return False
        changed = env_set(block, {name: self.variables[name] for name in names if name in self.variables})
        if changed is None:
            return False
        self.writes[re.sub(r"^\(.*?\)", "", path)] = changed
        return True

    def run_linux(self, arguments):
        image = self.file(arguments[0]) if arguments else None
        if image is None or image[0x1FE:0x200] != b"\x55\xaa" or image[0x202:0x206] != b"HdrS":
            return False
        self.kernel, self.initrd = (arguments[0], " ".join(arguments[1:])), None
        return True

    def run_initrd(self, arguments):
        if self.kernel is None or any(self.file(path) is None for path in arguments):
            return False
        self.initrd = arguments
        return True

    def run_boot(self, _):
        if self.kernel is None:
            return False
        self.started = self.kernel[0], (self.initrd or [None])[0], self.kernel[1]
        raise _End("boot")

    def run_test(self, arguments):
        return Test(self, arguments).result()


class Test:
    """GRUB's test: -o binds looser than -a, ! negates what follows."""

    def __init__(self, script, words):
        self.script, self.words = script, list(words)

    def result(self):
        value = self.either()
        if self.words:
            raise Unsupported(f"test: {self.words}")
        return value

    def either(self):
        value = self.both()
        while self.words[:1] == ["-o"]:
            self.words.pop(0)
            value = self.both() or value
        return value

    def both(self):
        value = self.one()
        while self.words[:1] == ["-a"]:
            self.words.pop(0)
            value = self.one() and value
        return value

    def one(self):
        if not self.words:
            return False
        if self.words[0] == "!":
            self.words.pop(0)
            return not self.one()
        if len(self.words) >= 3 and self.words[1] in COMPARE:
            left, operator, right = self.words[:3]
            del self.words[:3]
            return COMPARE[operator](left, right)
        if len(self.words) >= 2 and self.words[0] in ("-n", "-z", "-f", "-e", "-s"):
            operator, word = self.words[:2]
            del self.words[:2]
            if operator in ("-n", "-z"):
                return (word != "") == (operator == "-n")
            content = self.script.file(word)
            return content is not None and (operator != "-s" or len(content) > 0)
        return self.words.pop(0) != ""


def number(text):
    match = re.match(r"\s*[+-]?\d+", text)
    return int(match[0]) if match else 0


COMPARE = {
    "=": lambda a, b: a == b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "-eq": lambda a, b: number(a) == number(b),
    "-ne": lambda a, b: number(a) != number(b),
    "-lt": lambda a, b: number(a) < number(b),
    "-le": lambda a, b: number(a) <= number(b),
    "-gt": lambda a, b: number(a) > number(b),
    "-ge": lambda a, b: number(a) >= number(b),
}

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The toolbox as a guest: every script of the table gives the same output and status as under the
machine's own /bin/sh (dash) and tools; and what only a guest has."""
import http.server
import io
import os
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading

ROOT = os.environ.get("WHERRY_ROOT", os.getcwd())
WHERRY = os.environ.get("WHERRY", os.path.join(ROOT, "build", "wherry"))
TOOLBOX = os.path.join(os.path.dirname(WHERRY), "libexec", "wherry", "toolbox.wasm")

# Only standard output and the status are compared: messages differ from shell to shell.
SAME = r"""
echo hello world
echo 'single "quotes"' "double 'quotes'" back\ slash
echo "a\$b\`c\"d\\e\f"
echo a''b""c
echo # comment
echo a#b
x=1; echo $x ${x} "$x" '$x'
x='a  b   c'; echo $x; echo "$x"
x=; echo "[$x]" [$x]
echo ${x:-default} ${x-unset} [${x:+set}] [${x+set}]
x=v; echo ${x:-default} ${x:+alt} ${x+alt}
echo ${x:=assigned}; echo $x
x=; echo ${x=no} ${x:=yes} $x
x=hello; echo ${#x} ${#} ${#none}
x=a.tar.gz; echo ${x%.*} ${x%%.*} ${x#*.} ${x##*.}
x=/usr/lib/file; echo ${x##*/} ${x%/*} "${x#/}"
x='*'; echo "${x%\*}" "${x#'*'}"
echo "${x:-"a b"}" ${x:-a b} "${x:-'q'}" ${x:-'q'}
echo ${x:-$(echo sub)} "${x:-${y:-deep}}"
echo "}" ${x:-\}} "${x:-\}}"
set -- a 'b c' d; echo $# $1 "$2" $3; for i in "$@"; do echo "<$i>"; done
set -- a 'b c' d; for i in $@; do echo "<$i>"; done; for i in "$*"; do echo "<$i>"; done
set -- a b; IFS=-; echo "$*" $*
set -- a b c; shift; echo $1 $#; shift 2; echo $#
set --; for i in "$@"; do echo no; done; echo $# "[$@]"
set -- a b; echo "x$@y"
set -- 1 2 3 4 5 6 7 8 9 ten; echo ${10} $10
for i; do echo $i; done
set -- q r; for i do echo $i; done
IFS=:; x=a:b::c; for i in $x; do echo "<$i>"; done
IFS=:; x=:a; for i in $x; do echo "<$i>"; done; x=a:; for i in $x; do echo "<$i>"; done
IFS=' :'; x='a : b  c::d'; for i in $x; do echo "<$i>"; done
IFS=; x='a b'; for i in $x; do echo "<$i>"; done
unset IFS; x=' a	b '; for i in $x; do echo "<$i>"; done
x=$(printf 'a\n\n\n'); echo "[$x]"
x=`echo back \`echo nested\``; echo $x
echo $(echo $(echo $(echo deep)))
echo "$(echo "quoted inside")"
x=$(echo a; exit 3); echo $x $?
x=$(false); echo $?
echo $(case x in x) echo in case;; esac)
echo $(echo ')' "(" \))
echo $((1+2*3)) $(( (1+2)*3 )) $((7/2)) $((7%3)) $((-7/2))
x=5; echo $((x+1)) $(($x*2)) $((x=x+1)) $x
echo $((1<2)) $((2<=1)) $((1==1)) $((1!=1)) $((!5)) $((~0))
echo $((1&&0)) $((1||0)) $((1?2:3)) $((0?2:3)) $((6&3)) $((6|3)) $((6^3)) $((1<<4)) $((256>>2))
x=3; echo $((x+=4)) $((x*=2)) $((x-=1)) $((x/=2)) $((x%=4)) $x
echo $((0x1f)) $((010)) $((0 && 1/0))
echo $((9223372036854775807 + 1))
true && echo yes || echo no
false && echo yes || echo no
! true; echo $?; ! false; echo $?
if true; then echo t; fi; if false; then echo t; else echo f; fi
if false; then echo 1; elif true; then echo 2; else echo 3; fi
if false; then echo 1; fi; echo $?
i=0; while [ $i -lt 3 ]; do echo $i; i=$((i+1)); done
i=0; until [ $i -ge 2 ]; do echo $i; i=$((i+1)); done; echo $?
for i in 1 2 3 4; do [ $i = 2 ] && continue; [ $i = 4 ] && break; echo $i; done
for i in 1 2; do for j in a b; do [ $j = b ] && continue 2; echo $i$j; done; done
for i in 1 2; do while true; do break 2; done; echo no; done; echo after
case hello in h*) echo glob;; *) echo other;; esac
case a in b|a) echo either;; esac; case x in [a-c]) echo no;; [!a-c]) echo yes;; esac
case '*' in '*') echo literal;; esac; case abc in '*') echo no;; a?c) echo q;; esac
case "a b" in a\ b) echo esc;; esac; case x in (x) echo paren;; esac
case x in y) ;; esac; echo $?
x='a*'; case abc in $x) echo expands;; esac; case abc in "$x") echo no;; *) echo quoted;; esac
f() { echo "f: $1 $#"; return 3; }; f a b; echo $?
f() { x=inner; }; x=outer; f; echo $x
f() { local x; x=inner; echo $x; }; x=outer; f; echo $x
f() { if [ $1 -le 1 ]; then echo 1; else echo $(( $1 * $(f $(($1-1))) )); fi; }; f 6
f() { for i in 1 2; do return 7; done; }; f; echo $?
f() ( cd /; x=1 ); x=2; f; echo $x
f() { echo $0 >/dev/null; echo "$@"; }; set -- p q; f r; echo "$@"
f() { f2() { echo inner; }; }; f; f2
X=1 f() { echo; } 2>/dev/null; echo $?
{ echo a; echo b; } | cat
( x=sub; echo $x ); echo "[$x]"
(exit 4); echo $?
{ exit 5; }; echo no
x=1; (x=2; (x=3; echo $x); echo $x); echo $x
echo a | cat | cat | cat
echo a | { read x; echo "got $x"; }
printf '1\n2\n3\n' | while read n; do echo "n=$n"; done
echo x | read y; echo "[$y]"
false | true; echo $?; true | false; echo $?
! echo a | grep -q b; echo $?
echo hi > f; cat f; echo more >> f; cat < f
echo a > f1; echo b > f2; cat f1 f2 > f3; cat f3; rm f1 f2 f3; ls
echo err >&2; echo out 2>/dev/null
{ echo out; echo err >&2; } 2>&1 | sort
ls /nonexistent 2>/dev/null || echo failed
cat < /nonexistent 2>/dev/null; echo $?
exec 3>out; echo three >&3; exec 3>&-; cat out
exec >out2; echo hidden; exec >&2; cat out2 >&2
echo a >&- 2>/dev/null; echo $?
echo x 3>&1 >/dev/null | cat
touch a.c b.c d.h; echo *.c; echo *; echo [ab].c; echo ?.h; echo *.none "*.c" \*.c
touch .hidden x; echo *; echo .h*
mkdir d; touch d/1 d/2; echo d/* */1
touch 'a b'; for i in *; do echo "<$i>"; done
set -f; echo *
x='*.c'; touch a.c; echo $x "$x"
set -e; false; echo no
set -e; false || true; echo yes; if false; then :; fi; ! true; echo still; (exit 3); echo no
set -e; f() { false; echo in f; }; f || echo caught; f; echo no
set -e; x=$(false); echo no
set -e; true && false; echo "and list is fine"
set -u; echo ${x-ok}; echo $nope; echo no
set -x; echo traced 2>/dev/null
set +e; false; echo on
x=1; export x; sh -c 'echo $x'; y=2; sh -c 'echo [$y]'; y=3 sh -c 'echo $y'
unset x; x=1; unset x; echo "[$x]"
readonly r=1; echo $r; r=2; echo no
x=1 y=2; echo $x$y; x=3 true; echo $x; x=4 :; echo $x
eval 'echo a; x=5'; echo $x; eval echo '$x'
eval 'exit 6'; echo no
echo 'echo from file $1; return 4' > s; . ./s; echo $?
echo 'echo script $1 $#; exit 3' > s; sh s a b; echo $?
sh -c 'echo $0 $1' name arg
printf 'a b\\\nc\n' > f; read x y < f; echo "$x|$y"; read -r x < f; echo "$x"
echo '  lead trail  ' | { read x; echo "[$x]"; }
echo 'a:b:c:d' | { IFS=: read x y z; echo "$x $y [$z]"; }
echo 'a:b:' | { IFS=: read x y; echo "$x [$y]"; }
printf 'no newline' | { read x; echo $? $x; }
read x </dev/null; echo $?
nosuchcommand 2>/dev/null; echo $?
f() { nosuch; }; f 2>/dev/null || echo $?
command -v nosuch; echo $?; command echo hi
[ a = a ] && echo eq; [ a != b ] && echo ne; [ -n x ] && [ -z "" ] && echo nz
[ 1 -eq 1 -a 2 -gt 1 ]; echo $?; [ 1 -eq 2 -o 3 -le 3 ]; echo $?
[ ! a = b ]; echo $?; [ ! ]; echo $?; [ ]; echo $?; [ "" ]; echo $?; [ -f ]; echo $?
test -e /nonexistent; echo $?; test -d .; echo $?; touch f; test -f f; echo $?; test -s f; echo $?
[ 1 -eq x ] 2>/dev/null; echo $?; [ a b ] 2>/dev/null; echo $?
[ \( a = a \) ]; echo $?; [ -n "a" -a \( -z "" -o x = y \) ]; echo $?
[ = = = ]; echo $?; [ ! = ! ]; echo $?
printf '%s %d %x %o %c|%5s|%-5s|%05d\n' str 42 255 8 char ab cd 7
printf '%s\n' a b c; printf '%s-%s\n' a b c
printf '%b' 'a\tb\n'; printf 'esc\\ \101\n'; printf '%%\n'; printf '%.2s|\n' abc
printf '%d\n' 0x10 010 "'A"; printf '%u %i\n' 3 -4
printf '%d\n' abc 2>/dev/null; echo $?
printf '%*d|%.*f\n' 5 42 2 3.14159
echo 'a\tb\n'; echo -n no newline; echo; echo -e x
pwd | grep -c /; mkdir sub; cd sub; cd ..; ls
mkdir -p a/b/c; cd a/b/c; cd ../..; ls; cd -  >/dev/null; ls ..
cd nonexistent 2>/dev/null; echo $?
(mkdir in; cd in; touch here); ls; ls in
exit 7
false
exit 256
(exit 300); echo $?
f() { return; }; false; f; echo $?
true; echo $? $#
echo "$#" "$?" "$-" | cat
echo ~ > /dev/null; HOME=/h; echo ~ ~/x "~" a~
if then
echo ok
echo before; fi
echo 'unterminated
for; do
case
( echo a
echo a | | b
a=b=c; echo $a; echo a=b
x="a b"; y=$x; echo "$y"
if=1; echo $if; echo if then else
echo {a,b} }
! ! true; echo $?
:; echo $?; : ${v:=set}; echo $v
i=0; while :; do i=$((i+1)); [ $i -gt 100 ] && break; done; echo $i
seq 3; seq 2 4; seq 10 -3 1 | tail -n 1
seq 1000 | wc -l | tr -d ' '; seq 20 | head -n 3; seq 20 | tail -n 2; seq 5 | tail -n +4
seq 5 | head -c 3; seq 12 | tail -c 4; printf 'a\nb' | tail -n 1; printf 'a\nb' | wc -l | tr -d ' '
printf 'b\na\nc\na\n' | sort; printf 'b\na\na\n' | sort -u; printf '10\n9\n' | sort -n; printf '1\n2\n' | sort -r
printf 'a 3\nb 1\nc 2\n' | sort -k 2; printf 'a:3\nb:1\n' | sort -t : -k 2 -n
printf 'a\na\nb\n' | uniq; printf 'a\na\nb\n' | uniq -d; printf 'a\na\nb\n' | uniq -u
printf 'one\ntwo\nthree\n' | grep t; printf 'a.c\nabc\n' | grep -F a.c; printf 'x\n' | grep -q y; echo $?
printf 'one\nTWO\n' | grep -i two; printf 'a\nb\n' | grep -v a; printf 'a\nb\na\n' | grep -c a; printf 'a\nb\n' | grep -n b
printf 'aab\nabb\n' | grep -E '^a+b$'; printf 'x1\ny\n' | grep '[0-9]'; printf 'ab\na\n' | grep -x a
echo a > f1; echo b > f2; grep a f1 f2; grep -l b f1 f2; grep -h . f1 f2
echo hello | tr a-y b-z; echo hello | tr -d l; echo aabbcc | tr -s a-c; echo 'a1b2' | tr -cd 0-9; echo; echo abc | tr '[:lower:]' '[:upper:]'
echo 'a:b:c' | cut -d : -f 2; echo 'a:b:c' | cut -d : -f 1,3; echo abcdef | cut -c 2-4; echo a:b:c | cut -d: -f2-
basename /a/b/c.txt; basename /a/b/c.txt .txt; basename a/; dirname /a/b; dirname a; dirname /a; dirname a/b/
echo x | tee f | cat; cat f; echo y | tee -a f > /dev/null; cat f
mkdir a; mkdir a 2>/dev/null; echo $?; rmdir a; ls; rm nope 2>/dev/null; echo $?; rm -f nope; echo $?
mkdir -p t/s; echo 1 > t/s/f; cp -r t u; cat u/s/f; mv u v; ls; rm -r t v; ls
echo 1 > a; cp a b; cat b; mkdir d; cp a b d; ls d; mv a d/c; ls d; cp d e 2>/dev/null; echo $?
ln -s target l; readlink l; [ -L l ]; echo $?; [ -e l ]; echo $?; ls
echo x > f; ln f g; cat g; rm f; cat g
mkdir -p s/d; echo data > s/d/f; tar cf - s | tar tf -; mkdir o; tar cf - -C s d | tar xf - -C o; cat o/d/f
mkdir d; ls d; ls -a d; ls -d d; touch d/z d/a; ls d; ls -1 d .
ls nope 2>/dev/null || echo failed
date -u -d @0 +%Y-%m-%dT%H:%M:%S
env -i A=1 B=2 env | sort
mkdir -p a/b/c; echo x > a/b/f.txt; echo y > a/g.log; ln -s f.txt a/b/l; find | sort; find a a/g.log | sort
mkdir -p a/b/c a/.h; echo x > a/b/f.txt; echo y > a/b/c/f.c; find a -name '*.c' -type f; find a -type d -name '[bh]' | sort
mkdir -p a/b/c; find a -maxdepth 1 | sort; find a -maxdepth 0 -print; find a/ -type d | sort; ln -s a l; find l -type l
find nope; echo $?; mkdir a; find a nope >/dev/null; echo $?; find a -name 2>/dev/null; echo $?; find a -type 9; echo $?
true x; echo $?; sleep 0; echo $?
cat nope f 2>/dev/null; echo $?; echo piped | cat -
test a = b || { echo braces; false; }; echo $?
"""

# Scripts of several lines.
MORE = [
    'echo "x\ny"\n',
    "echo one \\\n two\n",
    'echo "$(( 1 +\n2 ))"\n',
    "cat <<X\nheredoc $((1+1)) $(echo sub) \\$x\nX\n",
    "cat <<'X'\nliteral $x $(no) \\n\nX\n",
    "cat <<-X\n\ttabs\n\tgone\n\tX\n",
    "cat <<A; cat <<B\nfirst\nA\nsecond\nB\n",
    'x=$(cat <<X\nin subst\nX\n); echo "$x"\n',
    "cat <<X | tr a-z A-Z\nupper\nX\n",
    'while read a b; do echo "$b $a"; done <<X\n1 one\n2 two words\nX\n',
    "if true\nthen\n  echo a\n  echo b\nfi\n",
    "f()\n{\n  echo in f\n}\nf\n",
    "while read l\ndo\n  case $l in\n    a) echo A ;;\n    *) echo other ;;\n  esac\ndone <<E\na\nb\nE\n",
    "for i in 1 \\\n  2\ndo echo $i\ndone | cat\n",
    "true &&\n  echo joined |\n  cat\n",
    "echo a; # comment\n\n\n   echo b\n",
    "cat <<X\n$(cat <<Y\ninner\nY\n)\nX\n",
    "cat <<X\n\"quoted\" 'single' \\\\ \\\" `echo bq`\nX\necho after\n",
    "x=$(\n  echo lines\n  # it's a comment\n)\necho \"$x\"\n",
    "echo 'multi\nline' \"and\nthis\"\n",
    "set -e\nfor i in 1 2; do\n  echo $i\n  false\ndone\necho no\n",
    "f() {\n  while :; do\n    return 2\n  done\n}\nf\necho $?\n",
]


count = failed = 0


def result(good, name, detail=""):
    global count, failed
    count += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {count} - {name}")
    if not good:
        print("\n".join("# " + line for line in detail.splitlines()), file=sys.stderr)


def guest(folder, *args, stdin=b"", env=(), options=()):
    command = [WHERRY, "run", "--dir", f"{folder}::/work", "-i", "--env", "PWD=/work", "--env", "HOME=/work"]
    for pair in env:
        command += ["--env", pair]
    return subprocess.run(command + list(options) + [TOOLBOX] + list(args), input=stdin,
                          capture_output=True, timeout=60, check=False)


def compare(script):
    name = script.strip().replace("\n", "; ").replace("#", "")[:70]
    with tempfile.TemporaryDirectory() as mine, tempfile.TemporaryDirectory() as theirs:
        got = guest(mine, "sh", "-c", script)
        wanted = subprocess.run(["/bin/sh", "-c", script], cwd=theirs, input=b"", timeout=60,
                                capture_output=True, check=False,
                                env={"PATH": os.environ["PATH"], "HOME": theirs, "LC_ALL": "C"})
    result((got.stdout, got.returncode) == (wanted.stdout, wanted.returncode),
           "same: " + name,
           f"{script}got {got.returncode} {got.stdout!r} {got.stderr!r}\n"
           f"wanted {wanted.returncode} {wanted.stdout!r} {wanted.stderr!r}")


def check(name, got, status, out=None, err=None):
    good = got.returncode == status and (out is None or got.stdout == out) and \
        (err is None or err in got.stderr)
    result(good, name, f"status {got.returncode}, wanted {status}\n{got.stdout!r}\n{got.stderr!r}")


def archive(*members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, data in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = data
                tar.addfile(info)
            else:
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def test_tar():
    long = "d/" + "n" * 90 + "/" + "m" * 120
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(os.path.join(folder, "in", os.path.dirname(long)))
        for name, data in ((long, b"long"), ("d/big", b"x" * 100000), ("d/empty", b"")):
            with open(os.path.join(folder, "in", name), "wb") as f:
                f.write(data)
        os.symlink("big", os.path.join(folder, "in", "d", "link"))
        made = guest(folder, "tar", "cf", "-", "-C", "in", "d")
        check("tar makes an archive", made, 0)
        with tarfile.open(fileobj=io.BytesIO(made.stdout)) as tar:
            result(long in tar.getnames() and tar.extractfile("d/big").read() == b"x" * 100000 and
                   tar.getmember("d/link").linkname == "big", "other readers read it", "")
        os.mkdir(os.path.join(folder, "out"))
        check("tar extracts its own", guest(folder, "tar", "xf", "-", "-C", "out", stdin=made.stdout), 0)
        same = subprocess.run(["diff", "-r", f"{folder}/in", f"{folder}/out"], check=False)
        result(same.returncode == 0, "and it is the same")
        bad = archive(("../evil", tarfile.REGTYPE, b"e"), ("/abs", tarfile.REGTYPE, b"a"),
                      ("l", tarfile.SYMTYPE, ".."), ("l/through", tarfile.REGTYPE, b"t"),
                      ("hard", tarfile.LNKTYPE, "../in/d/big"), ("good", tarfile.REGTYPE, b"g"))
        os.mkdir(os.path.join(folder, "jail"))
        got = guest(folder, "tar", "xf", "-", "-C", "jail", stdin=bad)
        check("what leads out of the folder is refused", got, 1, err=b"refused")
        result(sorted(os.listdir(f"{folder}/jail")) == ["abs", "good", "l"] and
               sorted(os.listdir(folder)) == ["in", "jail", "out"],
               "and the rest is there", str(os.listdir(f"{folder}/jail")))
        check("a cut archive is an error", guest(folder, "tar", "tf", "-", stdin=made.stdout[:70000]), 1,
              err=b"short read")
        check("noise is an error", guest(folder, "tar", "tf", "-", stdin=b"noise" * 200), 1,
              err=b"invalid tar header")


def test_limits():
    with tempfile.TemporaryDirectory() as folder:
        check("endless recursion ends with a message",
              guest(folder, "sh", "-c", "f() { f; }; f; echo no"), 2, b"", b"nested more than")
        check("endless evaluation too",
              guest(folder, "sh", "-c", "x='eval \"$x\"'; eval \"$x\""), 2, b"", b"nested more than")
        check("deep nesting is refused",
              guest(folder, "sh", "-c", "(" * 5000 + ":" + ")" * 5000), 2, b"", b"nested more than")
        check("deep arithmetic is refused",
              guest(folder, "sh", "-c", "echo $((" + "(" * 5000 + "1" + ")" * 5000 + "))"), 2, b"",
              b"nested too deep")
        check("an endless writer into a pipe ends",
              guest(folder, "sh", "-c", "while :; do printf '%65536s' x; done | head -c 3; echo; echo $?"),
              0, b"   \n0\n", b"64 MiB")
        check("'&' is refused with a reason", guest(folder, "sh", "-c", "echo a; sleep 1 & echo b"), 2,
              b"", b"no other processes")


def test_guest():
    with tempfile.TemporaryDirectory() as folder:
        check("the first argument names the tool", guest(folder, "echo", "hi"), 0, b"hi\n")
        check("an unknown tool is 127", guest(folder, "nosuch"), 127, b"", b"toolbox: nosuch: not found")
        check("without a tool they are listed", guest(folder), 2, b"", b"tar")
        check("a missing file is told as usual", guest(folder, "ls", "/x"), 1, b"",
              b"ls: /x: No such file or directory")
        check("a missing command is told as usual", guest(folder, "sh", "-c", "foo"), 127, b"",
              b"sh: foo: not found")
        check("ps shows the container", guest(folder, "ps", env=["WHERRY_CONTAINER=web /app.wasm a\nb"]), 0,
              b"PID   COMMAND\n    1 web /app.wasm a b\n    - ps\n")
        check("env shows what was given", guest(folder, "env", env=["A=b c"]), 0,
              b"PWD=/work\nHOME=/work\nA=b c\n")
        check("lines of standard input are run", guest(folder, "sh", stdin=b"echo a\nread x\nline\necho $x\n"),
              0, b"a\nline\n")
        check("a prompt survives mistakes",
              guest(folder, "sh", "-i", stdin=b"echo ${\n}\n)\necho still; cd nope\nif true\nthen echo here; fi\nexit 3\n"),
              3, b"still\nhere\n", b"$ ")
        with open(os.path.join(folder, "f"), "w", encoding="utf-8") as f:
            f.write("12345")
        check("ls -l tells kind and size", guest(folder, "sh", "-c", "ls -l f | cut -c 1-10; ls -l f | grep -c ' 5 '"),
              0, b"-?????????\n1\n")
        check("a folder that was not granted is not there", guest(folder, "cat", "/etc/passwd"), 1, b"",
              b"No such file or directory")


def server(answer):
    """The port of a server on which each connection is answered, in a thread, and then closed."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            with listening.accept()[0] as c:
                try:
                    answer(c)
                except ConnectionError:
                    pass

    threading.Thread(target=serve, daemon=True).start()
    return listening.getsockname()[1]


def echo(c):
    while data := c.recv(1 << 16):
        c.sendall(data)


def count_all(c):
    """Answers when the other side has closed its half."""
    n = 0
    while data := c.recv(1 << 16):
        n += len(data)
    c.sendall(b"%d bytes\n" % n)


def test_nc():
    ports = {name: server(answer) for name, answer in (
        ("echo", echo), ("count", count_all), ("banner", lambda c: c.sendall(b"hello\n")),
        ("silent", lambda c: c.recv(1)), ("reset", reset))}
    refusing = socket.socket()  # bound, so nobody else listens there
    refusing.bind(("127.0.0.1", 0))
    ports["refused"] = refusing.getsockname()[1]
    granted = [word for port in ports.values() for word in ("--allow-net", f"127.0.0.1:{port}")]

    def nc(folder, *args, **options):
        return guest(folder, *(str(ports.get(a, a)) for a in args), options=granted, **options)

    with tempfile.TemporaryDirectory() as folder:
        check("nc sends its input and prints the answer", nc(folder, "nc", "127.0.0.1", "echo", stdin=b"a\nb"),
              0, b"a\nb", b"")
        big = os.urandom(3 << 20)
        check("more than fits into either direction's buffers comes back whole",
              nc(folder, "nc", "127.0.0.1", "echo", stdin=big), 0, big)
        check("the end of the input closes one direction only",
              nc(folder, "nc", "127.0.0.1", "count", stdin=b"x" * 100000), 0, b"100000 bytes\n")
        check("a server that speaks first is heard without input", nc(folder, "nc", "127.0.0.1", "banner"), 0,
              b"hello\n")
        check("nc stands in a pipeline and is redirected",
              nc(folder, "sh", "-c", f"echo get | nc 127.0.0.1 {ports['echo']} | tr a-z A-Z; echo $?; "
                 f"echo file > f; nc 127.0.0.1 {ports['echo']} < f > g; cat g; "
                 f"x=$(nc 127.0.0.1 {ports['banner']}); echo \"<$x>\""), 0, b"GET\n0\nfile\n<hello>\n", b"")
        check("-z checks a port that listens", nc(folder, "nc", "-zv", "127.0.0.1", "count"), 0, b"", b"connected to")
        check("and one that does not", nc(folder, "nc", "-z", "127.0.0.1", "refused"), 1, b"",
              b"nc: cannot connect to 127.0.0.1 port %d: connection refused\n" % ports["refused"])
        check("-w ends a connection on which nothing moves", nc(folder, "nc", "-w1", "127.0.0.1", "silent"), 0, b"")
        check("a connection that breaks is an error", nc(folder, "nc", "127.0.0.1", "reset", stdin=b"x"), 1, b"",
              b"nc: the connection broke\n")
        check("an address that was not granted is refused with a reason", nc(folder, "nc", "127.0.0.2", "echo"),
              1, b"", b"not granted")
        check("a name that was not granted too", nc(folder, "nc", "localhost", "echo"), 1, b"", b"not granted")
        for args in (["-l", "127.0.0.1", "1"], ["127.0.0.1"], ["127.0.0.1", "65536"], ["-w", "0", "127.0.0.1", "1"]):
            check("nc " + " ".join(args) + " is refused with a reason", nc(folder, "nc", *args), 1, b"", b"nc: ")


def reset(c):
    c.recv(1)
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


class Site(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        status, body = {"/file": (200, BODY), "/short": (200, BODY), "/moved": (302, b"")}.get(
            self.path.partition("?")[0], (404, b"no"))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) + (self.path == "/short")))
        if status == 302:
            self.send_header("Location", "/file")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *args):  # pylint: disable=arguments-differ
        pass


BODY = bytes(range(256)) * 1000


def test_wget():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as site, tempfile.TemporaryDirectory() as folder:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        raw = server(lambda c: (c.recv(1000), c.sendall(b"HTTP/1.0 200 OK\n\nto the end")))
        ssh = server(lambda c: c.sendall(b"SSH-2.0-x\r\n"))
        silent = server(lambda c: c.recv(1) and c.recv(1 << 16) and c.recv(1))
        at = f"127.0.0.1:{site.server_port}"
        granted = [w for port in (site.server_port, raw, ssh, silent) for w in ("--allow-net", f"127.0.0.1:{port}")]

        def wget(*args):
            return guest(folder, "wget", *args, options=granted)

        check("wget prints a body", wget("-qO-", f"http://{at}/file?x#y"), 0, BODY, b"")
        check("or keeps it under the name of its path", wget(f"{at}/file?x"), 0, b"", b"")
        with open(os.path.join(folder, "file"), "rb") as f:
            result(f.read() == BODY, "and that is whole")
        check("a body may end with the connection", wget("-O", "-", f"127.0.0.1:{raw}"), 0, b"to the end", b"")
        check("one that ends too early is an error", wget("-qO-", f"{at}/short"), 1, BODY, b"1 bytes too early")
        check("an error of the server is told", wget("-O", "none", f"{at}/none"), 1, b"", b"answers 404 Not Found\n")
        result(not os.path.exists(os.path.join(folder, "none")), "and leaves no file")
        check("so is where it moved to", wget("-O-", f"{at}/moved"), 1, b"", b"which is at /file\n")
        check("what is no HTTP is told", wget("-O-", f"127.0.0.1:{ssh}"), 1, b"", b"no answer of HTTP")
        check("-T limits the waiting", wget("-T1", "-O-", f"127.0.0.1:{silent}"), 1, b"", b"no answer in time")
        check("https is refused with a reason", wget("https://127.0.0.1/"), 1, b"", b"no TLS")
        check("an address that was not granted too", wget("127.0.0.2/"), 1, b"", b"not granted")
        site.shutdown()


def main():
    for script in SAME.strip("\n").split("\n") + MORE:
        compare(script)
    test_tar()
    test_limits()
    test_guest()
    test_nc()
    test_wget()
    print(f"1..{count}")
    return 1 if failed else 0


sys.exit(main())

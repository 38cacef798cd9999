#!/bin/sh
# latch.sh: a second, partial implementation of the Latchboard protocol, in POSIX shell.
#
#     latch.sh acquire PATH AGENT [TTL_S]    lock one file, exclusively and bound to the agent; prints the token
#     latch.sh release PATH AGENT            give it back
#     latch.sh holders PATH                  who holds it: one JSON object per line
#     latch.sh send    TO BODY AGENT         put a message into an agent's mailbox; prints its id
#
# Needs flock(1), jq, gzip and coreutils, on Linux with /proc. PATH is relative to the current folder; the project is the
# nearest folder upwards with data/.agent_locks or .git in it, or LATCH_ROOT. LATCH_REASON says what a lock is for.
#
# Exit statuses (protocol/cli.md): 0 done; 2 wrong usage; 10 somebody else's right; 11 not held (any more);
# 12 a record or a version that cannot be read; 13 the store, or more than this script can do: use `latchboard`.
#
# It proves that the protocol is not Python (protocol/README.md, "Partial implementations"). Every commit it makes is a
# whole one, under the same guard; whatever it cannot decide, it refuses. What it does not do:
#
# - Make a store, recover one, rotate a journal (status 13: any `latchboard` command does it), wait, renew, grant.
# - Folders, globs, hard links, names that are not printable ASCII, file systems that fold case (status 2 or 13). A file
#   counts as held while any folder or glob at all is locked or waited for, wherever it is.
# - Jump the line: a record with waiters is not free (10), and a hold that somebody waits for is not given back from here
#   (13: `latchboard release` grants it to the waiter).
# - Take over an expired hold. Ages are CLOCK_MONOTONIC, which a shell cannot read: /proc/uptime is CLOCK_BOOTTIME, which
#   also counts the time the machine slept, so it is never less. An age computed here may be too great, so it expires
#   nobody else's hold. In the holds it writes the moment is late by that difference: others see them live longer, never
#   shorter, while this script gives its own up on time. A hold of a process that is provably gone is taken over.
# - Open files without following links: it looks first (someone who may write to the folder can cheat it).
# - Close the guard in its children: killed from outside, it frees the guard only when the coreutils program it was
#   running has ended too.

set -fu
LC_ALL=C
export LC_ALL
umask 077

JOURNAL_BYTES_MAX=8388608
GUARD_TRIES_MAX=400 # some 5 seconds

# What a lock record must look like; anything else is malformed, and never free.
# shellcheck disable=SC2016  # these are names of jq's
LOCK_RECORD='
def text: type == "string";
def word: type == "string" and . != "" and length <= 4200 and (explode | all(. != 0));
def whole: type == "number" and . == floor;
def mode: . == "exclusive" or . == "shared";
def moment: type == "object" and (.boot | text) and (.at | text) and (.mono_s | type == "number");
def holding: type == "object" and ([.agent, .request, .lease] | all(word)) and (.reason | text) and (.mode | mode)
  and (.bound == "process" or .bound == "agent") and (.token | whole)
  and (.ttl_s | type == "number" and . > 0 and . < 1e12) and (.acquired | moment) and (.process | type == "object")
  and (. as $holding | ["claim", "entry_lease", "link"] | all(. as $name | $holding | (has($name) | not) or (.[$name] | word)))
  and ((has("first_token") | not) or (.first_token | whole))
  and (. as $holding | if has("entries") then .entries elif .bound == "process" then [.request] else [] end
    | type == "array" and all(word)
    and $holding.depth == length + (if $holding.bound == "agent" then 1 else 0 end) and $holding.depth >= 1);
def place: type == "object" and ([.request, .agent] | all(word)) and (.mode | mode) and (.seq | whole);
def lock: (.name | text) and "locks/" + .name == .key
  and (.holders | type == "array" and all(holding)) and (.waiters | type == "array" and all(place))
  and ((.holders | length) < 2 or (.holders | all(.mode == "shared")));
'
# A record file: one object that says which record it is. jq puts U+FFFD where bytes are no UTF-8: refused as well.
# shellcheck disable=SC2016  # $key is jq's
RECORD_FILE='
length == 1 and (.[0] | type == "object" and .key == $key and (.mod_revision | type == "number" and . == floor)
  and (tojson | contains("\ufffd") | not))'

die() {
    status=$1
    shift
    printf 'latch.sh: %s\n' "$*" >&2
    exit "$status"
}

# -- names ----------------------------------------------------------------------------------------------------------------

find_root() {
    root=${LATCH_ROOT:-$(pwd -P)}
    if [ -z "${LATCH_ROOT:-}" ]; then
        while [ ! -e "$root/data/.agent_locks" ]; do
            [ ! -e "$root/.git" ] || die 13 "${root:-/} is a git repository without a board: make it with \`latchboard init\`"
            [ -n "$root" ] || die 13 "no folder from here upwards has data/.agent_locks: make it with \`latchboard init\`"
            root=${root%/*}
        done
    fi
    root=$(realpath -e -- "${root:-/}") || die 2 "there is no folder ${LATCH_ROOT:-/}"
    folder=${root%/}/data/.agent_locks
}

check_agent() {
    case $1 in
        '' | ' '* | *' ') die 2 "an agent id is 1 to 200 characters without blanks around them" ;;
        *[!\ -~]*) die 13 "an agent id that is not printable ASCII is more than this script can do" ;;
    esac
    [ "${#1}" -le 200 ] || die 2 "an agent id has at most 200 characters"
}

# The name under which the file $1 is locked (protocol/lock.md, "Names").
find_name() {
    case $1 in
        '') die 2 "a path cannot be empty" ;;
        glob:* | hardlink:* | */ | . | .. | */. | */..) die 2 "$1: files alone can be locked from here: use latchboard" ;;
    esac
    real=$(realpath -m -- "$1" && printf .) || die 2 "$1 cannot be resolved"
    real=${real%??}
    [ ! -L "$real" ] || die 2 "$1 leads in a circle of symbolic links"
    [ ! -d "$real" ] || die 2 "$1 is a folder: files alone can be locked from here"
    name=${real#"${root%/}/"}
    case $name in
        *[!\ -~]*) die 13 "a name that is not printable ASCII is more than this script can do: use latchboard" ;;
        glob:* | hardlink:*) name=./$name ;;
    esac
    [ "${#name}" -le 4096 ] || die 2 "$name is longer than 4096 bytes"
    [ ! -f "$real" ] || [ "$(stat -c %h -- "$real")" = 1 ] || die 13 "$name has several hard links: use latchboard"
    [ ! "${root%/}/DATA" -ef "${root%/}/data" ] || die 13 "this file system folds case: use latchboard"
    key=locks/$name
    find_digest "$key"
    file=$folder/$(printf %s "$name" | slug)-$digest.lock
}

# Standard input with `/` as `__` and anything unusual as `_`; its last 120 bytes.
slug() {
    jq -Rrj 'gsub("/"; "__") | gsub("[^A-Za-z0-9._-]"; "_") | .[-120:]'
}

# $1 as JSON.
quote() {
    jq -cn --arg text "$1" '$text'
}

# Sets `digest` to what tells the key $1 from every other.
find_digest() {
    digest=$(printf %s "$1" | sha256sum | cut -c 1-16)
    [ "${#digest}" = 16 ] || die 13 "sha256sum does not work"
}

# Sets `file_name` for a record that is no lock: the name $1 itself where it is safe, else a slug and the digest of $2.
find_file_name() {
    file_name=$1
    case $1 in
        .* | *[!a-z0-9._#~@=+,-]*) ;;
        *) [ "${#1}" -gt 100 ] || return 0 ;;
    esac
    find_digest "$2"
    file_name=$(printf %s "$1" | slug | jq -Rrj 'ascii_downcase | sub("^[.]+"; "")')%$digest
}

# -- processes (protocol/terms.md, "Identity" and "Verdict") --------------------------------------------------------------

# What /proc/$1/stat says: state, threads and start time.
read_stat() {
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # The command name may hold anything: what counts stands after the last parenthesis. Split on purpose.
    # shellcheck disable=SC2086
    set -- ${stat##*)}
    [ "$#" -ge 20 ] || return 1
    state=$1 threads=${18} start=${20}
}

identify() {
    read -r boot </proc/sys/kernel/random/boot_id || die 13 "/proc does not tell which boot this is"
    # A redirection is opened by this very shell: "self" must be its own number.
    { read -r self _ </proc/self/stat && [ "$self" = "$$" ] && read_stat "$$"; } || die 13 "/proc does not show this shell"
    pid_ns=$(stat -L -c %i "/proc/$$/ns/pid") || die 13 "/proc does not tell the pid namespace"
    if [ "$pid_ns" != 4026531836 ]; then
        while read -r field _ more; do
            [ "$field" != NSpid: ] || [ -z "$more" ] || die 13 "/proc belongs to another pid namespace: mount its own"
        done <"/proc/$$/status"
    fi
    my_start=$start host=
    [ ! -r /etc/machine-id ] || read -r host </etc/machine-id || :
    host=$(printf %s "$host" | tr A-F a-f)
    case $host in
        *[!0-9a-f]* | 00000000000000000000000000000000) host= ;;
    esac
    [ "${#host}" = 32 ] || host=
    me=$(jq -cn --arg host "$host" --arg boot "$boot" --argjson pid_ns "$pid_ns" --argjson pid "$$" \
        --argjson start "$my_start" '{host: $host, boot: $boot, pid_ns: $pid_ns, pid: $pid, start: $start}')
    tag=$(printf '%s\n%s\n%s\n%s\n%s' "$host" "$boot" "$pid_ns" "$$" "$my_start" | sha256sum | cut -c 1-12)
    [ "${#tag}" = 12 ] || die 13 "sha256sum does not work"
}

# Sets `verdict` for the identity in JSON $1. Gone is proven, never guessed.
judge() {
    verdict=unknowable
    values=$(printf %s "$1" | jq -r 'def whole: type == "number" and . == floor and . >= 0 and . < 9007199254740992;
        select((.host | type == "string") and (.boot | type == "string") and .boot != "" and (.pid_ns | whole)
          and (.pid | whole and . > 0 and . < 2147483648) and (.start | whole))
        | (.host | tojson), (.boot | tojson), .pid_ns, .pid, .start') || return 0
    { read -r its_host && read -r its_boot && read -r its_ns && read -r its_pid && read -r its_start; } <<END || return 0
$values
END
    if [ "$its_boot" != "\"$boot\"" ]; then
        case $its_boot in
            '"~boot-time-'*) ;; # a stand-in that may drift: proves nothing
            *) [ -z "$host" ] || [ "$its_host" != "\"$host\"" ] || verdict=dead ;;
        esac
        return 0
    fi
    [ "$its_ns" = "$pid_ns" ] || return 0
    if ! read_stat "$its_pid"; then
        # /proc may hide other users' processes; kill does not lie about them.
        [ -e "/proc/$its_pid/stat" ] || case $(kill -0 "$its_pid" 2>&1) in
            *'No such process'*) verdict=dead ;;
        esac
        return 0
    fi
    case $state in
        X | x) verdict=dead ;;
        Z) [ "$threads" -gt 1 ] || verdict=dead ;;
    esac
    [ "$verdict" = dead ] && return 0
    if [ "$start" = "$its_start" ]; then verdict=live; else verdict=recycled; fi
}

# -- the store (protocol/store.md) ----------------------------------------------------------------------------------------

refuse_link() {
    [ ! -L "$1" ] || die 13 "$1 is a symbolic link: it must not be one"
}

# Take the guard and make sure that the store needs nothing done that this script cannot do. Sets base, applied, revision.
enter() {
    guard=$folder/journal/guard
    for path in "$folder" "$folder/FORMAT" "$folder/journal" "$guard"; do
        refuse_link "$path"
        [ -e "$path" ] || die 13 "$path is missing: make the store with \`latchboard init\`"
    done
    [ "$(jq -rs 'if length == 1 then .[0].format else empty end' "$folder/FORMAT" 2>/dev/null)" = 1 ] \
        || die 12 "$folder/FORMAT cannot be read, or names a format other than 1"
    case $(stat -c %a "$folder") in
        *[2367]?) umask 007 ;; # shared by a group
    esac
    { command exec 9<>"$guard"; } 2>/dev/null || die 13 "$guard cannot be opened for writing"
    # Looking again after a pause, as the others do: who waits inside flock(2) is served before all who do not.
    tries=0
    until flock -n 9; do
        tries=$((tries + 1))
        [ "$tries" -le "$GUARD_TRIES_MAX" ] || die 13 "the guard is not free: /proc/locks says which process has it"
        sleep 0.01
    done
    [ "$(stat -L -c %d:%i "/proc/$$/fd/9")" = "$(stat -c %d:%i "$guard")" ] || die 13 "the folder was replaced: try again"
    read -r base applied _ its_boot more <"$guard"
    case "$(stat -c %s "$guard"),$base,$applied,$more" in
        100,*[!0-9,]* | 100,0* | 100,*,0*,) die 13 "the guard's header cannot be read: any latchboard commit repairs it" ;;
        100,?*,?*,) ;;
        *) die 13 "the guard has no whole header: any latchboard commit writes it" ;;
    esac
    journal=$folder/journal/$(printf %020d "$base").jsonl
    refuse_link "$journal"
    size=$(stat -c %s "$journal" 2>/dev/null) || die 13 "$journal is missing: any latchboard commit starts a new one"
    [ "$size" = "$applied" ] || die 13 "a commit was left unfinished: any latchboard commit finishes it"
    [ "$applied" -le "$JOURNAL_BYTES_MAX" ] || die 13 "the journal is full: any latchboard commit starts a new one"
    [ "$its_boot" = "$boot" ] || die 13 "the machine was restarted: any latchboard commit settles the store"
    check_first_line
    revision=$((base + applied))
    at=$(date -u +%Y-%m-%dT%H:%M:%S.%6NZ)
    read -r uptime _ </proc/uptime
}

# The journal is the one that the header means, and was written in this very folder: a copy has another guard (inode) and
# another FORMAT (made: nanoseconds of its last change). Compared as text: jq and others cannot count that far.
check_first_line() {
    read -r line <"$journal"
    for mark in "\"format\":1" "\"base\":$base" "\"inode\":$(stat -c %i "$guard")" \
        "\"made\":$(stat -c %.9Z "$folder/FORMAT" | tr -d .)"; do
        case $line in
            *[\{,]"$mark"[,\}]*) ;;
            *) die 13 "this folder is a copy, or its journal is damaged: any latchboard commit settles it" ;;
        esac
    done
}

# CRC-32 of standard input, eight hexadecimal digits: gzip ends with it, little-endian, before the size.
crc32() {
    gzip -c | tail -c 8 | od -An -N4 -tx1 | { read -r a b c d && printf %s "$d$c$b$a"; }
}

# The record of key $2 in file $1, as JSON in `record`; null when there is none. $3: what else must be true of it.
read_record() {
    record=null
    [ ! -L "$1" ] || die 12 "the record $2 in $1 cannot be read: a symbolic link stands in its place"
    [ -e "$1" ] || return 0
    [ -f "$1" ] || die 12 "the record $2 in $1 cannot be read: it is no file"
    [ -r "$1" ] || die 13 "$1 cannot be read: not permitted"
    jq -es --arg key "$2" "$LOCK_RECORD $RECORD_FILE and (.[0] | $3)" "$1" >/dev/null 2>&1 \
        || die 12 "the record $2 in $1 cannot be read: it counts as held, never as free"
    record=$(cat "$1")
}

# Commit: as agent $1, put (or, without a value, delete) the record with key $2 in file $3; its value is $4; traces: $5. All
# but the file are JSON text, and of the value only what stands behind its opening brace.
commit() {
    changes="\"puts\":{},\"deletes\":[$2]"
    [ -z "${4:-}" ] || changes="\"puts\":{$2:{$4${5:-}},\"deletes\":[]"
    body="{\"revision\":$revision,\"at\":\"$at\",\"who\":$1,$changes"
    crc=$(printf %s "$body" | crc32)
    [ "${#crc}" = 8 ] || die 13 "gzip does not work: nothing was changed"
    line="$body,\"crc\":\"$crc\"}"
    if [ -n "${4:-}" ]; then
        [ -d "${3%/*}" ] || mkdir -p "${3%/*}"
        rm -f "$3.tmp"
        printf '{"key":%s,"mod_revision":%s,%s\n' "$2" "$revision" "$4" >"$3.tmp" \
            || { rm -f "$3.tmp"; die 13 "$3.tmp cannot be written: nothing was changed"; }
    fi
    printf '%s\n' "$line" >>"$journal"
    size=$(stat -c %s "$journal")
    if [ "$size" != "$((applied + ${#line} + 1))" ]; then
        truncate -s "$applied" "$journal"
        rm -f "$3.tmp"
        die 13 "the journal cannot be written: nothing was changed"
    fi
    # Committed. If anything fails from here on, the next commit of a full implementation finishes it.
    if [ -n "${4:-}" ]; then mv -f -T "$3.tmp" "$3"; else rm -f "$3"; fi \
        || die 13 "$3 cannot be changed: it is committed, and any latchboard commit finishes it"
    printf '%20d %20d %20d %-36s\n' "$base" "$size" "$revision" "$boot" >&9
}

# -- operations (protocol/lock.md, protocol/mailbox.md) -------------------------------------------------------------------

# Every holder of `record`, judged for `us`. Sets mine (live, over or none), mine_mode, mine_token, held (how many hold
# it against us), held_by (who) and taken (whom a process proves gone). What is not judged to be over holds it.
judge_holders() {
    mine=none mine_mode='' mine_token='' held=0 held_by='' taken='[]'
    [ "$record" != null ] || return 0
    # Time may have run out for the hold even though others still see it live; see the top.
    lines=$(printf %s "$record" | jq -r --arg boot "$boot" --argjson uptime "$uptime" '(.holders // [])[]
        | (.agent | tojson), .bound, .mode, .token,
          (if .acquired.boot != $boot or $uptime - .acquired.mono_s >= .ttl_s then "over" else "live" end),
          (.process | tojson),
          ("\(.agent) (\(.mode), \(.bound)-bound) since \(.acquired.at) \(.reason)" | tojson)') \
        || die 12 "the record $key cannot be judged"
    left=$(printf %s "$record" | jq '.holders // [] | length')
    while [ "$left" -gt 0 ]; do
        left=$((left - 1))
        { read -r agent && read -r bound && read -r mode && read -r token && read -r life && read -r process && read -r told; } \
            || die 12 "the record $key cannot be judged"
        judge "$process"
        case $verdict,$bound,$agent in
            dead,process,* | recycled,process,*)
                taken=$(printf %s "$taken" | jq -c --arg name "$name" --argjson from "$agent" --argjson token "$token" \
                    --arg why "$verdict" '. + [{name: $name, from: $from, token: $token, why: $why}]') ;;
            dead,agent,"$us" | recycled,agent,"$us")
                mine=$life mine_mode=$mode mine_token=$token ;;
            *)
                held=$((held + 1)) held_by="${held_by:+$held_by; }$told" ;;
        esac
    done <<END
$lines
END
}

count_waiters() {
    if [ "$record" = null ]; then echo 0; else printf %s "$record" | jq '.waiters | length'; fi
}

# Folders and globs that have a record, in `wide`.
read_wide() {
    lock_record=$record
    read_record "$folder/wide.json" wide '.names | type == "array" and all(type == "string")'
    wide_count=0
    [ "$record" = null ] || wide_count=$(printf %s "$record" | jq '.names // [] | length')
    [ "$wide_count" = 0 ] || wide=$(printf %s "$record" | jq -c .names)
    record=$lock_record
}

acquire() {
    read_record "$file" "$key" lock
    judge_holders
    if [ "$mine,$mine_mode" = live,exclusive ]; then
        printf '%s\n' "$mine_token"
        return 0
    fi
    [ "$held" = 0 ] || die 10 "$name is held by $held_by"
    [ "$mine" != live ] || die 10 "$name is held shared by $us: use latchboard to change that"
    [ "$(count_waiters)" = 0 ] || die 10 "$name is waited for by others: use latchboard to stand in line"
    read_wide
    [ "$wide_count" = 0 ] || die 10 "$name may lie in what is locked: $wide (use latchboard beside folders and globs)"
    value=$(printf '"name":%s,"holders":[{"agent":%s,"mode":"exclusive","bound":"agent","token":%s,"request":"%s",' \
        "$name_json" "$us" "$revision" "$waiter_tag.$tag-$revision"
        printf '"acquired":{"at":"%s","mono_s":%s,"boot":"%s"},"ttl_s":%s,"lease":%s,"depth":1,"reason":%s,"process":%s}],' \
            "$at" "$uptime" "$boot" "$1" "$us" "$reason" "$me"
        printf '"waiters":[]}')
    traces=
    [ "$taken" = '[]' ] || traces=",\"log/takeover\":{\"by\":$us,\"taken\":$taken,\"at\":\"$at\"}"
    commit "$us" "$key_json" "$file" "$value" "$traces"
    printf '%s\n' "$revision"
}

release() {
    read_record "$file" "$key" lock
    judge_holders
    if [ "$mine" != live ]; then
        [ "$held" = 0 ] || die 10 "$name is held by $held_by"
        die 11 "$us does not hold $name, or the lease ran out"
    fi
    [ "$(count_waiters)" = 0 ] || die 13 "$name is waited for: \`latchboard release\` grants it to the next in line"
    [ "$mine_mode" = exclusive ] || die 13 "$name is held shared: use \`latchboard release\`"
    case $record in
        *'"link":'*) die 13 "$name was locked together with a hard link: use \`latchboard release\`" ;;
    esac
    read_wide
    [ "$wide_count" = 0 ] || die 13 "somebody may wait for $name among $wide: use \`latchboard release\`"
    commit "$us" "$key_json" "$file"
}

holders() {
    read_record "$file" "$key" lock
    printf %s "$record" | jq -c '(.holders // [])[]
        | {agent, mode, bound, token, since: .acquired.at, ttl_s, reason, pid: .process.pid}'
    read_wide
    [ "$wide_count" = 0 ] || printf 'latch.sh: folders and globs with holders or waiters: %s\n' "$wide" >&2
}

send() {
    refuse_link "$folder/messages"
    refuse_link "${file%/*}"
    value=$(printf '"id":"%s","from":%s,"to":%s,"body":%s,"subject":"","thread":"%s","reply_to":null,"urgency":"normal",' \
        "$id" "$us" "$to_json" "$body_json" "$id"
        printf '"sent_at":"%s","revision":%s,"ack":"none","ack_by_at":null,"expires_at":null}' "$at" "$revision")
    commit "$us" "$key_json" "$file" "$value"
    flock -u 9
    sync -d "$journal" || die 13 "it is sent, but may not survive a power cut"
    printf '%s\n' "$id"
}

usage() {
    die 2 "usage: latch.sh acquire PATH AGENT [TTL_S] | release PATH AGENT | holders PATH | send TO BODY AGENT"
}

for tool in flock jq gzip sha256sum realpath; do
    command -v "$tool" >/dev/null 2>&1 || die 13 "$tool is not installed"
done
verb=${1:-}
[ "$#" -eq 0 ] || shift
case $verb,$# in
    acquire,2 | acquire,3 | release,2)
        check_agent "$2"
        case ${3:-3600} in
            *[!0-9]* | 0* | ????????????*) die 2 "a lease time is a whole number of seconds above zero" ;;
        esac ;;
    holders,1) ;;
    send,3)
        check_agent "$1"
        check_agent "$3"
        [ "${#2}" -le 262144 ] || die 2 "a body has at most 262144 bytes" ;;
    *) usage ;;
esac
find_root
identify
# Whatever takes time is done before the guard is taken.
case $verb in
    send)
        us=$(quote "$3") to_json=$(quote "$1") body_json=$(quote "$2")
        id=$(printf %017d "$(date +%s%6N)")-$tag-1
        key=messages/$1/$id
        find_file_name "$1" "$1"
        file=$folder/messages/$file_name/$id.json ;;
    *)
        find_name "$1"
        us=$(quote "${2:-}") name_json=$(quote "$name") reason=$(quote "${LATCH_REASON:-}")
        waiter_tag=a$(printf %s "${2:-}" | crc32) ;;
esac
key_json=$(quote "$key")
enter
case $verb in
    acquire) acquire "${3:-3600}" ;;
    release) release ;;
    holders) holders ;;
    send) send ;;
esac

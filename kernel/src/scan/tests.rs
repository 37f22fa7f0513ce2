use proptest::prelude::*;

use super::*;
use crate::embedded;

const BASE: u64 = 0x40_0000;
const CODE: usize = 120;

/// A static program at 4 MiB: headers, then this code, which it enters at the front.
fn elf(code: &[u8]) -> Vec<u8> {
    let mut out = b"\x7fELF\x02\x01\x01".to_vec();
    out.resize(16, 0);
    out.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for word in [BASE + CODE as u64, 64, 0] {
        out.extend(word.to_le_bytes());
    }
    out.extend([0; 4]);
    for half in [64u16, 56, 1, 64, 0, 0] {
        out.extend(half.to_le_bytes());
    }
    let size = (CODE + code.len()) as u64;
    out.extend(1u32.to_le_bytes());
    out.extend(5u32.to_le_bytes());
    for word in [0, BASE, BASE, size, size, 4096] {
        out.extend(word.to_le_bytes());
    }
    assert_eq!(out.len(), CODE);
    out.extend(code);
    out
}

fn needs(code: &[u8]) -> Vec<String> {
    let bytes = elf(code);
    let input = Input { name: "program", bytes: &bytes, whole: false };
    let scan = scan(&[input], &[], &|_, _| {}).unwrap();
    scan.needs.into_keys().collect()
}

#[test]
fn a_number_before_the_instruction() {
    // mov eax, 39; syscall; ret
    assert_eq!(needs(&[0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3]), ["call:getpid"]);
    // push 39; pop rax; syscall
    assert_eq!(needs(&[0x6a, 39, 0x58, 0x0f, 0x05, 0xc3]), ["call:getpid"]);
    // xor eax, eax; syscall
    assert_eq!(needs(&[0x31, 0xc0, 0x0f, 0x05, 0xc3]), ["call:read"]);
    // mov r12d, 39; jmp to: mov rax, r12; syscall
    assert_eq!(
        needs(&[0x41, 0xbc, 39, 0, 0, 0, 0xeb, 1, 0xcc, 0x4c, 0x89, 0xe0, 0x0f, 0x05, 0xc3]),
        ["call:getpid"]
    );
    // mov eax, 39; test edi, edi; jz over: mov eax, 102; over: syscall
    let either = [0xb8, 39, 0, 0, 0, 0x85, 0xff, 0x74, 5, 0xb8, 102, 0, 0, 0, 0x0f, 0x05, 0xc3];
    assert_eq!(needs(&either), ["call:getpid", "call:getuid"]);
    // mov [rsp - 8], 39 as a word; xor eax, eax; mov rax, [rsp - 8]; syscall
    let by_stack = [
        0x48, 0xc7, 0x44, 0x24, 0xf8, 39, 0, 0, 0, 0x31, 0xc0, 0x48, 0x8b, 0x44, 0x24, 0xf8, 0x0f, 0x05, 0xc3,
    ];
    assert_eq!(needs(&by_stack), ["call:getpid"]);
}

#[test]
fn a_wrapper_is_followed_to_its_callers() {
    // mov edi, 39; call wrapper; mov edi, 102; call wrapper; ret; wrapper: mov rax, rdi; syscall; ret
    let code = [
        0xbf, 39, 0, 0, 0, 0xe8, 11, 0, 0, 0, 0xbf, 102, 0, 0, 0, 0xe8, 1, 0, 0, 0, 0xc3, 0x48, 0x89, 0xf8,
        0x0f, 0x05, 0xc3,
    ];
    assert_eq!(needs(&code), ["call:getpid", "call:getuid"]);
    // The number on the stack, as Go before 1.17 passes it, and a jump at the end of a wrapper around the wrapper:
    // push 39; call outer; pop rax; ret; outer: jmp inner; int3; inner: mov rax, [rsp + 8]; syscall; ret
    let code =
        [0x6a, 39, 0xe8, 2, 0, 0, 0, 0x58, 0xc3, 0xeb, 1, 0xcc, 0x48, 0x8b, 0x44, 0x24, 8, 0x0f, 0x05, 0xc3];
    assert_eq!(needs(&code), ["call:getpid"]);
}

#[test]
fn a_wrapper_is_followed_to_who_calls_it_through_a_register() {
    // lea r8, [rip + wrapper]; mov edi, 39; call r8; ret; wrapper: mov rax, rdi; syscall; ret
    let called = [
        0x4c, 0x8d, 0x05, 9, 0, 0, 0, 0xbf, 39, 0, 0, 0, 0x41, 0xff, 0xd0, 0xc3, 0x48, 0x89, 0xf8, 0x0f,
        0x05, 0xc3,
    ];
    // Behind enough of nothing that reading, which begins in the headers here, is right again.
    let code = [&[0x90; 15][..], &called].concat();
    assert_eq!(needs(&code), ["call:getpid"]);
}

#[test]
fn arguments_are_read() {
    // mov edi, 2; mov esi, 0x80001; mov eax, 41; syscall: socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC)
    let code = [0xbf, 2, 0, 0, 0, 0xbe, 1, 0, 8, 0, 0xb8, 41, 0, 0, 0, 0x0f, 0x05, 0xc3];
    assert_eq!(needs(&code), ["call:socket", "socket:AF_INET/SOCK_STREAM"]);
    // lea rdi, [rip + path]; xor esi, esi; mov eax, 2; syscall; ret; path
    let mut code = vec![0x48, 0x8d, 0x3d, 10, 0, 0, 0, 0x31, 0xf6, 0xb8, 2, 0, 0, 0, 0x0f, 0x05, 0xc3];
    code.extend(b"/proc/self/exe\0");
    assert_eq!(needs(&code), ["call:open", "path:/proc/self/exe"]);
}

#[test]
fn what_is_not_known_is_counted() {
    // mov rax, [rdi]; syscall
    let bytes = elf(&[0x48, 0x8b, 0x07, 0x0f, 0x05, 0xc3]);
    let scan = scan(&[Input { name: "dir/program", bytes: &bytes, whole: false }], &[], &|_, _| {}).unwrap();
    assert!(scan.needs.is_empty());
    assert_eq!((scan.unknown.count, scan.unknown.places), (1, vec!["program: 0x40007b".to_owned()]));
}

#[test]
fn the_demo_writes_and_exits() {
    let bytes = embedded::demo("hello").unwrap();
    let scan = scan(&[Input { name: "hello", bytes: &bytes, whole: false }], &[], &|_, _| {}).unwrap();
    let calls: Vec<&str> = scan.needs.keys().map(String::as_str).collect();
    assert!(calls.contains(&"call:write") && calls.contains(&"call:exit_group"), "{calls:?}");
}

#[test]
fn what_is_no_program_is_refused() {
    let refuse = |bytes: &[u8]| {
        scan(&[Input { name: "x", bytes, whole: false }], &[], &|_, _| {}).map(|_| ()).unwrap_err()
    };
    assert_eq!(refuse(b""), ScanError::NotElf);
    assert_eq!(refuse(b"#!/bin/sh"), ScanError::NotElf);
    let mut cut = elf(&[0xc3]);
    cut.pop();
    assert!(matches!(refuse(&cut), ScanError::Malformed(_)));
    let mut strange = elf(&[0xc3]);
    strange[54] = 7;
    assert!(matches!(refuse(&strange), ScanError::Malformed(_)));
}

#[test]
fn what_only_looks_like_a_library_is_left_out() {
    let bytes = elf(&[0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3]);
    let input = |name, bytes| Input { name, bytes, whole: false };
    let inputs = [input("program", &bytes[..]), input("junk", b"\x7fELF junk"), input("again", &bytes)];
    let found = scan(&inputs, &[], &|_, _| {}).unwrap();
    assert_eq!(found.skipped, [("junk".to_owned(), ScanError::NotElf)]);
    assert_eq!(found.needs["call:getpid"].count, 2);
    assert!(scan(&inputs[1..], &[], &|_, _| {}).is_err(), "the program is none");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_programs_never_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        words in prop::collection::vec(
            (0usize..40, prop::sample::select(vec![0u64, 1, 63, 4096, BASE, u64::MAX, 1 << 63, u64::MAX - 4095])), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = embedded::demo("hello").unwrap();
        for (at, word) in words {
            bytes[at * 8..at * 8 + 8].copy_from_slice(&word.to_le_bytes());
        }
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = scan(&[Input { name: "damaged", bytes: &bytes, whole: true }], &["/dev"], &|_, _| {});
    }

    #[test]
    fn any_code_is_followed_to_an_end(code in prop::collection::vec(any::<u8>(), 1..2000), whole: bool) {
        let bytes = elf(&code);
        let _ = scan(&[Input { name: "noise", bytes: &bytes, whole }], &[], &|_, _| {});
    }
}

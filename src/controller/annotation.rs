//! The annotation `konghq.com/plugins`, of which one item is ours.
//!
//! In: its text, and our note of what we put there. Out: both as they are to be. The one decision:
//! the text is the user's. Only our own item is put in or taken out, and what it cost to put it in
//! is noted beside it, so that taking it out gives back the very bytes.

/// An item of the list, as Kong's controllers read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// The plugin's namespace; that of the annotated object where none is given.
    pub namespace: Option<&'a str>,
    /// The plugin's name.
    pub name: &'a str,
}

/// The annotation of one object, and our note.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plugins {
    /// The value of `konghq.com/plugins`.
    pub list: Option<String>,
    /// What we put there.
    pub mark: Option<Mark>,
}

/// What we put into a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The name of the plugin.
    pub name: String,
    /// What stood there before, where that was no item at all.
    pub before: Option<String>,
}

/// The items of a list. White space around them and empty ones do not count.
pub fn items(list: &str) -> impl Iterator<Item = Item<'_>> {
    list.split(',').filter_map(item)
}

impl Plugins {
    /// The plugins as they are to be: with `name` as our item, or without one; and without what
    /// others had put there under one of these names.
    ///
    /// Where a user lists `name` already, nothing is put in and nothing noted.
    #[must_use]
    pub fn with(&self, name: Option<&str>, without: &[&str]) -> Self {
        let list = self.list.as_deref().unwrap_or_default();
        let own = self.mark.as_ref().map(|mark| mark.name.as_str());
        let is_own = |segment: &str| Some(segment.trim()) == own;
        let is_foreign = |segment: &str| without.contains(&segment.trim()) && !is_own(segment);
        let has = |list: &str, name: &str| list.split(',').any(|segment| segment.trim() == name);

        // A name of others that is to be ours is taken over where it stands.
        let taken_over = name.filter(|name| without.contains(name) && has(list, name));
        let is_listed_by_user =
            name.is_some_and(|name| own != Some(name) && taken_over.is_none() && has(list, name));
        let is_ours_in = own.is_some_and(|own| has(list, own));

        let mut is_in = is_listed_by_user;
        let mut segments = Vec::new();
        for segment in list.split(',').filter(|_| !list.is_empty()) {
            let is_ours = is_own(segment) || taken_over == Some(segment.trim());
            match name {
                Some(name) if is_ours && !is_in => {
                    is_in = true;
                    segments.push(segment.replace(segment.trim(), name));
                }
                _ if is_ours || is_foreign(segment) => {}
                _ => segments.push(segment.to_owned()),
            }
        }
        let mut before = self.mark.as_ref().and_then(|mark| mark.before.clone());
        let rest = segments.join(",");
        if !is_ours_in && !is_in && name.is_some() && items(&rest).next().is_none() {
            // Ours alone then, and not behind a comma.
            let is_users = rest == list;
            before =
                if is_users { self.list.clone() } else { Some(rest).filter(|it| !it.is_empty()) };
            segments.clear();
        }
        if let Some(name) = name.filter(|_| !is_in) {
            segments.push(name.to_owned());
        }
        let list = segments.join(",");
        let mark = name.filter(|_| !is_listed_by_user);
        let mark = mark.map(|name| Mark { name: name.to_owned(), before: before.clone() });
        // Also where a user has left nothing but separators: they are the user's.
        let list = if !list.is_empty() {
            Some(list)
        } else if is_ours_in {
            before
        } else if without.iter().any(|name| has(self.list.as_deref().unwrap_or_default(), name)) {
            None
        } else {
            // Not ours to tidy up.
            self.list.clone()
        };
        Self { list, mark }
    }
}

impl Mark {
    /// The mark as the annotation beside the list has it: `name`, or `name before="…"`.
    pub fn read(text: &str) -> Self {
        let (name, before) = match text.split_once(" before=") {
            Some((name, before)) => (name, serde_json::from_str(before).ok()),
            None => (text, None),
        };
        Self { name: name.trim().to_owned(), before }
    }

    /// As [`Self::read`] reads it.
    pub fn write(&self) -> String {
        match &self.before {
            None => self.name.clone(),
            Some(before) => format!("{} before={}", self.name, serde_json::json!(before)),
        }
    }
}

fn item(segment: &str) -> Option<Item<'_>> {
    let trimmed = segment.trim();
    match trimmed.split_once(':') {
        _ if trimmed.is_empty() => None,
        None => Some(Item { namespace: None, name: trimmed }),
        Some((namespace, name)) => {
            let (namespace, name) = (namespace.trim(), name.trim());
            let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
            (!name.is_empty()).then_some(Item { namespace, name })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(list: &str) -> Plugins {
        Plugins { list: Some(list.to_owned()), mark: None }
    }

    fn put(text: &str) -> String {
        list(text).with(Some("ours"), &[]).list.unwrap()
    }

    #[test]
    fn items_are_read_as_kongs_controllers_read_them() {
        let read: Vec<_> = items(" a ,, b:c , d : e,:,x:, :m,f").collect();
        let item = |namespace, name| Item { namespace, name };
        assert_eq!(
            read,
            [
                item(None, "a"),
                item(Some("b"), "c"),
                item(Some("d"), "e"),
                item(None, "m"),
                item(None, "f")
            ]
        );
    }

    #[test]
    fn our_item_comes_last_and_without_a_leading_comma() {
        assert_eq!(Plugins::default().with(Some("ours"), &[]).list.unwrap(), "ours");
        for (before, after) in [
            ("", "ours"),
            (" , ", "ours"),
            ("a", "a,ours"),
            ("a, b ", "a, b ,ours"),
            ("a,", "a,,ours"),
        ] {
            assert_eq!(put(before), after);
        }
    }

    #[test]
    fn our_item_is_found_in_whatever_form_a_user_brings_it_and_never_doubled() {
        let mark = Some(Mark { name: "ours".to_owned(), before: None });
        for (text, with, without) in [
            ("a, ours , b", "a, ours , b", Some("a, b")),
            ("ours,ours,a,ours", "ours,a", Some("a")),
            (" ours ", " ours ", None),
            (" ours ,", " ours ,", None),
            (",ours", ",ours", None),
            (",,ours", ",,ours", Some(",")),
            (" , ours,", " , ours,", Some(" ,")),
            ("oursx,ours", "oursx,ours", Some("oursx")),
            ("a", "a,ours", Some("a")),
        ] {
            let plugins = Plugins { list: Some(text.to_owned()), mark: mark.clone() };
            assert_eq!(plugins.with(Some("ours"), &[]).list.unwrap(), with, "{text}");
            assert_eq!(plugins.with(None, &[]).list.as_deref(), without, "{text}");
        }
    }

    #[test]
    fn what_stood_there_before_a_user_took_all_of_it_away_does_not_come_back() {
        let with = list(" , ").with(Some("ours"), &[]);
        assert_eq!(with.with(None, &[]), list(" , "));
        for left in [None, Some(""), Some(",")] {
            let left = left.map(str::to_owned);
            let plugins = Plugins { list: left.clone(), mark: with.mark.clone() };
            let again = plugins.with(Some("ours"), &[]);
            assert_eq!(again.list.as_deref(), Some("ours"));
            assert_eq!(again.with(None, &[]).list, left);
        }
    }

    #[test]
    fn what_a_user_lists_is_the_users() {
        let plugins = list("a,ours");
        assert_eq!(plugins.with(Some("ours"), &[]), plugins);
        assert_eq!(plugins.with(None, &[]), plugins);
    }

    #[test]
    fn another_name_of_ours_takes_the_place_of_the_first() {
        let mark = Mark { name: "old".to_owned(), before: None };
        let plugins = Plugins { list: Some("a, old ,b".to_owned()), mark: Some(mark) };
        let renamed = plugins.with(Some("new"), &[]);
        assert_eq!(renamed.list.as_deref(), Some("a, new ,b"));
        assert_eq!(renamed.mark.as_ref().unwrap().name, "new");
        assert_eq!(renamed.with(None, &[]).list.as_deref(), Some("a,b"));
    }

    #[test]
    fn what_others_put_there_can_be_taken_out_or_over() {
        let plugins = list("a, svc ,b");
        assert_eq!(plugins.with(None, &["svc"]).list.as_deref(), Some("a,b"));
        assert_eq!(plugins.with(Some("ours"), &["svc"]).list.as_deref(), Some("a,b,ours"));
        let taken_over = plugins.with(Some("svc"), &["svc"]);
        assert_eq!(taken_over.list.as_deref(), Some("a, svc ,b"));
        assert_eq!(taken_over.mark.unwrap().name, "svc");
        assert_eq!(list("svc").with(None, &["svc"]).list, None);
        // As Kong Operator leaves it where there was an empty list before.
        let with = list(",svc").with(Some("ours"), &["svc"]);
        assert_eq!(with.list.as_deref(), Some("ours"));
        assert_eq!(with.with(None, &[]).list, None);
        assert_eq!(list(",,svc").with(Some("ours"), &["svc"]).with(None, &[]), list(","));
    }

    #[test]
    fn a_mark_is_read_as_it_is_written() {
        for before in [None, Some(""), Some(" , "), Some(" before=\"\"")] {
            let mark = Mark { name: "a.b".to_owned(), before: before.map(str::to_owned) };
            assert_eq!(Mark::read(&mark.write()), mark);
        }
    }

    proptest! {
        #[test]
        fn taking_out_gives_back_the_very_bytes(
            list in proptest::option::of("[a-z,:\t ]{0,12}|[a, :]{0,12}|[, ]{0,4}"),
        ) {
            let before = Plugins { list, mark: None };
            let with = before.with(Some("ours"), &[]);
            prop_assert_eq!(with.list.iter().flat_map(|list| items(list)).filter(|item| item.name == "ours").count(), 1);
            prop_assert_eq!(&with.with(Some("ours"), &[]), &with);
            let again = Plugins { mark: Some(Mark::read(&with.mark.clone().unwrap().write())), ..with.clone() };
            prop_assert_eq!(&again.with(None, &[]), &before);
            prop_assert_eq!(with.with(Some("other"), &[]).with(None, &[]), before);
        }

        #[test]
        fn taking_out_leaves_every_other_byte_of_what_a_user_has_made_of_it(
            segments in proptest::collection::vec("[a-z:\t\u{a0} ]{0,3}", 0..5),
            [left, right] in ["[\t ]{0,2}", "[\u{a0} ]{0,2}"],
            at: proptest::sample::Index,
            before in proptest::option::of("[, ]{0,3}"),
        ) {
            let mut all = segments.clone();
            all.insert(at.index(segments.len() + 1), format!("{left}OURS{right}"));
            let mark = Mark { name: "OURS".to_owned(), before: before.clone() };
            let plugins = Plugins { list: Some(all.join(",")), mark: Some(mark) };
            prop_assert_eq!(&plugins.with(Some("OURS"), &[]), &plugins);
            let rest = segments.join(",");
            let expected = if rest.is_empty() { before } else { Some(rest) };
            prop_assert_eq!(plugins.with(None, &[]), Plugins { list: expected, mark: None });
            // Under another name it is at the same place.
            let renamed = all.join(",").replace("OURS", "OTHER");
            prop_assert_eq!(plugins.with(Some("OTHER"), &[]).list, Some(renamed));
        }

        #[test]
        fn foreign_items_stay_in_their_order(list in "[ab, ]{0,9}(,ours|)[ab, ]{0,5}", is_ours: bool) {
            let mark = is_ours.then(|| Mark { name: "ours".to_owned(), before: None });
            let plugins = Plugins { list: Some(list.clone()), mark };
            let foreign = |list: &str| {
                items(list).map(|item| item.name.to_owned()).filter(|name| name != "ours").collect::<Vec<_>>()
            };
            for name in [Some("ours"), None] {
                let after = plugins.with(name, &[]).list.unwrap_or_default();
                prop_assert_eq!(foreign(&after), foreign(&list));
            }
        }
    }
}
